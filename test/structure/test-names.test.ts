import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filesIn, textOf } from './source.ts'

interface NamedTest {
  /** The titles around it and its own: together they are the sentence. */
  readonly name: string
  readonly at: string
}

const call =
  /^( *)(?:await |void |return )?(?:t\.|context\.)?(test|it|describe|suite)(?:\.\w+)?\(\s*(['"`])((?:\\.|(?!\3).)*)\3/gm

/** The tests a file names, at any depth. What encloses a test stands further to the left, since the files are formatted. */
function testsOf(file: string): NamedTest[] {
  const text = textOf(file)
  const around: { readonly indent: number; readonly title: string }[] = []
  return Array.from(text.matchAll(call)).flatMap(({ 1: indent = '', 2: kind = '', 4: title = '', index }) => {
    while ((around.at(-1)?.indent ?? -1) >= indent.length) around.pop()
    around.push({ indent: indent.length, title })
    const at = `${file}:${text.slice(0, index).split('\n').length}`
    return kind === 'test' || kind === 'it' ? [{ name: around.map((each) => each.title).join(' '), at }] : []
  })
}

const tests = filesIn('test')
  .filter((file) => file.endsWith('.test.ts'))
  .flatMap(testsOf)

test('no two tests share a name', () => {
  const shared = [...Map.groupBy(tests, ({ name }) => name)].filter(([, same]) => same.length > 1)
  assert.deepEqual(
    shared.map(([name, same]) => `${name}: ${same.map(({ at }) => at).join(', ')}`),
    [],
  )
})

test('no test is singled out with only', () => {
  const singled = filesIn('test').filter(
    (file) => file.endsWith('.ts') && /\b(?:test|it|describe|suite)\.only\(|\bonly: true\b/.test(textOf(file)),
  )
  assert.deepEqual(
    singled.filter((file) => !file.endsWith('structure/test-names.test.ts')),
    [],
  )
})

test('every test file is found by npm test', () => {
  const stray = filesIn('.').filter((file) => /[.-]test\.[cm]?[jt]sx?$/.test(file) && !/^test\/.*\.test\.ts$/.test(file))
  assert.deepEqual(stray, [])
})
