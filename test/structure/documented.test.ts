import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf, entryPoints, resolved, sourceOf, sources, textOf } from './source.ts'

interface Exported {
  readonly name: string
  readonly file: string
}

const declaration = /^export (?:declare )?(?:abstract )?(?:async )?(?:class|function\*?|const|let|interface|type) (\w+)/
const list = /^export (?:type )?\{([^}]*)\}(?: from '([^']+)')?$/gm

/** The names that a file exports, each with the file that declares it. */
function exportsOf(file: string): Exported[] {
  const code = codeOf(file)
  const own = code.split('\n').flatMap((line) => declaration.exec(line)?.[1] ?? [])
  const listed = Array.from(code.matchAll(list)).flatMap(([, names = '', from]) =>
    names
      .split(',')
      .map(
        (each) =>
          each
            .trim()
            .replace(/^type /, '')
            .split(' as ')[0] ?? '',
      )
      .filter((name) => name !== '')
      .flatMap((name) => (from === undefined ? { name, file } : declarerOf(name, resolved(file, from)))),
  )
  return [...own.map((name) => ({ name, file })), ...listed]
}

function declarerOf(name: string, file: string): Exported {
  return exportsOf(file).find((each) => each.name === name) ?? { name, file }
}

/** A name's first declaration in a file: its line's index, or -1. */
function declaredAt(lines: readonly string[], name: string): number {
  const plain = new RegExp(
    `^(?:export )?(?:declare )?(?:abstract )?(?:async )?(?:class|function\\*?|const|let|interface|type) ${name}\\b`,
  )
  return lines.findIndex((line) => plain.test(line))
}

/** Whether a doc comment ends on the line above. */
function isDocumented(lines: readonly string[], index: number): boolean {
  const above = lines[index - 1]?.trim() ?? ''
  return (
    index > 0 &&
    above.endsWith('*/') &&
    lines
      .slice(0, index)
      .findLast((line) => line.includes('/*'))
      ?.trim()
      .startsWith('/**') === true
  )
}

/** The members of the interface declared at a line that have no doc comment. */
function undocumentedMembers(lines: readonly string[], start: number): string[] {
  if (!/^export interface (\w+Options|Limits)\b/.test(lines[start] ?? '')) return []
  const end = lines.findIndex((line, index) => index > start && line.startsWith('}'))
  return lines.slice(start + 1, end).flatMap((line, offset) => {
    const name = /^ {2}(?:readonly )?(\w+)\??[(:<]/.exec(line)?.[1]
    return name === undefined || isDocumented(lines, start + 1 + offset) ? [] : [name]
  })
}

// An entry point without a source file is another test's finding: package.test.ts.
const built = entryPoints.filter((entry) => sources().includes(sourceOf(entry)))
const publicNames = built.flatMap((entry) => exportsOf(sourceOf(entry)).map((each) => ({ ...each, entry: entry.name })))

test('every name that a public entry point exports is declared where it seems to be', () => {
  const wrong = publicNames.filter(({ name, file }) => declaredAt(textOf(file).split('\n'), name) === -1)
  assert.deepEqual(wrong, [])
})

test('every name that a public entry point exports has a doc comment directly above its declaration', () => {
  const wrong = publicNames.flatMap(({ name, file, entry }) => {
    const lines = textOf(file).split('\n')
    return isDocumented(lines, declaredAt(lines, name)) ? [] : [`${entry} exports ${name}, undocumented in ${file}`]
  })
  assert.deepEqual(wrong, [])
})

test('every public option and every limit has a doc comment', () => {
  const wrong = publicNames.flatMap(({ name, file }) => {
    const lines = textOf(file).split('\n')
    return undocumentedMembers(lines, declaredAt(lines, name)).map((member) => `${file}: ${name}.${member}`)
  })
  assert.deepEqual([...new Set(wrong)], [])
})

test('every exported name of src has a doc comment directly above its declaration', () => {
  const wrong = sources().flatMap((file) => {
    const lines = textOf(file).split('\n')
    return lines.flatMap((line) => {
      const name = declaration.exec(line)?.[1]
      return name === undefined || isDocumented(lines, declaredAt(lines, name)) ? [] : [`${file}: ${name}`]
    })
  })
  assert.deepEqual(wrong, [])
})

test('every export statement of src is one these tests can read', () => {
  const wrong = sources().flatMap((file) => {
    const code = codeOf(file).replaceAll(list, '')
    return code.split('\n').flatMap((line) => (line.startsWith('export') && !declaration.test(line) ? [`${file}: ${line}`] : []))
  })
  assert.deepEqual(wrong, [])
})
