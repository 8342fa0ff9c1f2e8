import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { InputError } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'
import { checkOperation, operationId, type Operation } from '../../src/core/operation.ts'
import { sha256 } from './support.ts'

const good: Operation = { scope: 's', name: 'n', key: 'k' }

test("an operation's identity is the SHA-256 of its three words, each behind its length", () => {
  assert.equal(operationId({ scope: 'ab', name: 'c', key: 'dé' }, sha256), sha256('2:ab1:c2:dé'))
  assert.match(operationId(good, sha256), /^[0-9a-f]{64}$/)
})

test('no two operations share what is digested, wherever their words are divided', () => {
  const word = fc.string({ unit: fc.constantFrom('a', '1', ':', '2', '\0', '😀'), minLength: 1, maxLength: 6 })
  const operation = fc.record({ scope: word, name: word, key: word })
  const digested = (each: Operation): string => operationId(each, String)
  const samePair = (a: Operation, b: Operation): boolean => a.scope === b.scope && a.name === b.name && a.key === b.key
  fc.assert(fc.property(operation, operation, (a, b) => (digested(a) === digested(b)) === samePair(a, b)))
  const moved = fc.tuple(word, word, word, word)
  fc.assert(
    fc.property(
      moved,
      ([a, b, c, d]) => digested({ scope: a + b, name: c, key: d }) !== digested({ scope: a, name: b + c, key: d }),
    ),
  )
})

const words = [
  ['scope', limits.scopeLengthMax],
  ['name', limits.nameLengthMax],
  ['key', limits.keyLengthMax],
] as const

for (const [word, lengthMax] of words) {
  const refused = (value: unknown, message: RegExp): void =>
    assert.throws(
      () => checkOperation({ ...good, [word]: value }),
      (error) => error instanceof InputError && error.message.startsWith(word) && message.test(error.message),
    )

  test(`a ${word} of 1 to ${lengthMax} UTF-16 units is accepted, whatever is in it; one unit more is refused`, () => {
    for (const value of ['x', 'x'.repeat(lengthMax), '\0', '"\'%_\\', 'é', `${'x'.repeat(lengthMax - 2)}😀`])
      checkOperation({ ...good, [word]: value })
    refused('x'.repeat(lengthMax + 1), new RegExp(`has ${lengthMax + 1} UTF-16 units, at most ${lengthMax} are allowed`))
    refused(`${'x'.repeat(lengthMax - 1)}😀`, /at most/)
  })

  test(`a ${word} that is empty, no string, or has a lone surrogate is refused`, () => {
    refused('', /is empty/)
    for (const value of [undefined, null, 7, {}, ['x']]) refused(value, /must be a string/)
    for (const value of ['\ud800', 'a\udc00b', '\udc00\ud800']) refused(value, /lone surrogate/)
  })
}

test('the first word that is wrong is named: scope, then name, then key', () => {
  assert.throws(() => checkOperation({ scope: '', name: '', key: '' }), { message: /^scope/ })
  assert.throws(() => checkOperation({ scope: 's', name: '', key: '' }), { message: /^name/ })
})
