import assert from 'node:assert/strict'
import { test } from 'node:test'
import { entryPoints, filesIn, manifest, sourceOf, textOf } from './source.ts'

const pages = (): string[] => filesIn('.').filter((file) => file.endsWith('.md'))

test('every entry point is built from a source file of its own', () => {
  const files = new Set(filesIn('src'))
  assert.deepEqual(entryPoints.filter((entry) => !files.has(sourceOf(entry))).map(sourceOf), [])
})

test('every entry point leads to the build of its source, with its types, and to the source only where asked to', () => {
  for (const entry of entryPoints) {
    const built = sourceOf(entry).replace(/^src\/(.*)\.ts$/, './dist/$1')
    const expected = { 'onceward-source': `./${sourceOf(entry)}`, types: `${built}.d.ts`, default: `${built}.js` }
    // As text, since the order of conditions counts.
    assert.equal(JSON.stringify(entry.conditions), JSON.stringify(expected), entry.name)
  }
})

test('entry points are listed one by one', () => {
  assert.deepEqual(
    Object.keys(manifest.exports).filter((path) => path.includes('*')),
    [],
  )
})

test('what is published holds the build and the sources it was built from', () => {
  assert.deepEqual(manifest['files'], ['dist', 'src', 'CHANGELOG.md'])
})

test('every entry point has its place in docs/api.md', () => {
  const page = textOf('docs/api.md')
  assert.deepEqual(
    entryPoints.filter(({ name }) => !page.includes(`\`${name}\``)).map(({ name }) => name),
    [],
  )
})

test('the package depends on no other', () => {
  const fields = ['dependencies', 'peerDependencies', 'optionalDependencies', 'bundleDependencies', 'bundledDependencies']
  assert.deepEqual(
    fields.filter((field) => field in manifest),
    [],
  )
})

test('the Node that runs this is one the package says it runs on', () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  assert.deepEqual(manifest['engines'], { node: '>=22.13' })
  assert.ok(major > 22 || (major === 22 && minor >= 13), process.version)
})

test('every npm script that a page names exists', () => {
  const scripts = new Set(Object.keys(Object(manifest['scripts'])))
  const named = pages().flatMap((file) =>
    Array.from(textOf(file).matchAll(/\bnpm run ([a-z][\w:-]*)/g), ([, script = '']) => ({ file, script })),
  )
  assert.deepEqual(
    named.filter(({ script }) => !scripts.has(script)),
    [],
  )
})

test('every file that an npm script runs exists', () => {
  const files = new Set(filesIn('.'))
  const named = Object.values(Object(manifest['scripts'])).flatMap(
    (script) => String(script).match(/[\w./*-]+\.(?:ts|mjs|json)\b/g) ?? [],
  )
  assert.deepEqual(
    named.filter((file) => !file.includes('*') && !files.has(file)),
    [],
  )
})

test('every page that a page links to exists', () => {
  const files = new Set(filesIn('.'))
  const wrong = pages().flatMap((file) =>
    linksOf(file)
      .filter((target) => !files.has(target) && !isFolder(target, files))
      .map((target) => `${file} → ${target}`),
  )
  assert.deepEqual(wrong, [])
})

/** The files of the repository that a page links to. */
function linksOf(file: string): string[] {
  const base = new URL(file, 'file:///')
  return Array.from(textOf(file).matchAll(/\]\(([^)\s]+)\)/g), ([, target = '']) => target)
    .filter((target) => !/^([a-z]+:|#)/.test(target))
    .map((target) => decodeURIComponent(new URL(target, base).pathname).slice(1))
}

function isFolder(target: string, files: ReadonlySet<string>): boolean {
  const prefix = target.endsWith('/') ? target : `${target}/`
  return [...files].some((file) => file.startsWith(prefix))
}
