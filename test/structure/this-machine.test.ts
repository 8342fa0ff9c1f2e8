import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filesIn, textOf } from './source.ts'

const texts = filesIn('.')
  .filter((file) => !/\.(?:db|db-wal|db-shm|tgz|cpuprofile|png)$/.test(file))
  .map((file) => ({ file, text: textOf(file) }))

test('no file names a path of the machine it was written on', () => {
  const homes = /(?<![\w.:-])\/(?:work|root|home\/\w+|Users\/\w+|tmp\/brief)\//
  const paths = texts.flatMap(({ file, text }) =>
    text.split('\n').flatMap((line, index) => (homes.test(line) ? [`${file}:${index + 1}`] : [])),
  )
  assert.deepEqual(paths, [])
})

test('the lockfile names no registry', () => {
  assert.equal(textOf('package-lock.json').includes('"resolved"'), false)
})

test('no file names a package registry but the public one', () => {
  const host = /https?:\/\/[^\s"'`)]*(?:registry|artifactory|nexus|verdaccio|proxy)[^\s"'`)]*/gi
  const hosts = texts.flatMap(({ file, text }) => Array.from(text.matchAll(host), ([url]) => `${file}: ${url}`))
  assert.deepEqual(
    hosts.filter((each) => !each.includes('https://registry.npmjs.org')),
    [],
  )
})
