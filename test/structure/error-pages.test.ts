import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** The members of a union of string literals, by its source. */
function codesOf(path: string, type: string): string[] {
  const union = read(path).split(`export type ${type} =`)[1]?.split('\n\n')[0] ?? ''
  return [...union.matchAll(/'([a-z_]+)'/g)].map(([, code]) => String(code))
}

test('the page of errors has a section for every code, and none for another', () => {
  const codes = [...codesOf('src/core/errors.ts', 'ErrorCode'), ...codesOf('src/http/problem.ts', 'ProblemCode')]
  assert.ok(codes.length > 20, 'the unions were found')
  const sections = [...read('docs/errors.md').matchAll(/^### ([a-z_]+)$/gm)].map(([, code]) => String(code))
  assert.deepEqual(sections.toSorted(), codes.toSorted())
})
