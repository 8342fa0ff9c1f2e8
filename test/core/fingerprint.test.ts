import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fingerprint } from '../../src/core/fingerprint.ts'
import { sha256 } from './support.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

test('a fingerprint is 64 lower-case hexadecimal digits, the same for the same parts', () => {
  const parts = ['POST', '/x', bytes(0, 255)]
  assert.match(fingerprint(parts, sha256), /^[0-9a-f]{64}$/)
  assert.equal(fingerprint(parts, sha256), fingerprint(['POST', '/x', Buffer.from([0, 255])], sha256))
})

test('lists that differ in their boundaries, order, kind or number have different fingerprints', () => {
  const lists = [
    [],
    [''],
    ['', ''],
    [bytes()],
    ['ab'],
    ['a', 'b'],
    ['b', 'a'],
    ['', 'ab'],
    ['ab', ''],
    [bytes(0x61)],
    ['a'],
    [bytes(0x61), bytes(0x62)],
    [bytes(0x61, 0x62)],
    ['s1:a'],
    ['1:a'],
    ['asb'],
    ['as1:b'],
    [sha256('a')],
    [`b${sha256('a')}`],
    ['é'],
    ['e\u0301'],
    ['\ufffd'],
    ['\ud800'],
    ['\udfff'],
    ['"\\ud800"'],
    ['\ud800', '\udc00'],
    ['\ud800\udc00'],
  ]
  assert.equal(new Set(lists.map((parts) => fingerprint(parts, sha256))).size, lists.length)
})

test('no two lists of parts share a fingerprint', () => {
  const text = fc.string({ unit: fc.constantFrom('s', 'b', 'u', '1', ':', 'é', '\ud800', '\udc00'), maxLength: 5 })
  const parts = fc.array(fc.oneof(text, fc.uint8Array({ maxLength: 3 })), { maxLength: 4 })
  const same = (a: readonly (string | Uint8Array)[], b: readonly (string | Uint8Array)[]): boolean =>
    a.length === b.length && a.every((part, index) => isSame(part, b[index]))
  fc.assert(fc.property(parts, parts, (a, b) => (fingerprint(a, sha256) === fingerprint(b, sha256)) === same(a, b)))
})

function isSame(a: string | Uint8Array, b: string | Uint8Array | undefined): boolean {
  if (typeof a === 'string') return a === b
  return b instanceof Uint8Array && Buffer.compare(a, b) === 0
}

test('strings alone take one digest, and bytes one each', () => {
  const count = (parts: readonly (string | Uint8Array)[]): number => {
    let calls = 0
    fingerprint(parts, (data) => `${(calls += 1)}${sha256(data)}`)
    return calls
  }
  assert.deepEqual([count(['a', 'b', 'c']), count(['a', bytes(1), bytes(2)])], [1, 3])
})
