import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { canonicalJson } from '../../src/core/canonical-json.ts'
import { canonicalValue } from '../../src/core/canonical-value.ts'
import { InputError } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'

describe('the form of an input', () => {
  test('is, for any plain JSON value, that of its JSON text', () => {
    const units = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)), maxLength: 60 })
    const values = fc.object({
      key: fc.oneof(units, fc.constantFrom('__proto__', 'a', '1', '10', '9')),
      values: [
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer(),
        units,
        fc.boolean(),
        fc.constantFrom(null, undefined, -0, new Date(0)),
      ],
      withNullPrototype: true,
      withSparseArray: true,
    })
    fc.assert(fc.property(values, (value) => assert.equal(canonicalValue(value), canonicalJson(JSON.stringify(value)))))
    for (const value of [null, true, 0, -0, 1.5, 1e21, 5e-324, '', 'é', '\ud800', '\u2028"\\\n\x7f'])
      assert.equal(canonicalValue(value), canonicalJson(JSON.stringify(value)))
  })

  const forms: [string, unknown, string][] = [
    ['undefined', undefined, ''],
    ['a bigint', 12345678901234567891n, canonicalJson('12345678901234567891') ?? ''],
    ['a small bigint', 5n, '5'],
    ['bytes', { a: Uint8Array.of(0, 255) }, '{"a":b"00ff"}'],
    ['a Buffer', Buffer.from('hi'), 'b"6869"'],
    ['no bytes', new Uint8Array(0), 'b""'],
    ['an ArrayBuffer', Uint8Array.of(1).buffer, 'b"01"'],
    ['bytes of another realm', runInNewContext('Uint8Array.of(1)'), 'b"01"'],
    ['an object of another realm', runInNewContext('({ b: [1], a: 2 })'), '{"a":2,"b":[1]}'],
    ['a date', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ['a URL', new URL('http://a/b'), '"http://a/b"'],
    ['members that are undefined', { a: undefined, b: 1 }, '{"b":1}'],
    ['elements that are undefined', [undefined, 1], '[null,1]'],
    ['a toJSON that says undefined', { a: { toJSON: () => undefined } }, '{}'],
    [
      'a toJSON that is told its name',
      [{ a: { toJSON: (name: string) => name } }, { toJSON: (name: string) => name }],
      '[{"a":"a"},"1"]',
    ],
    ['a toJSON that gives bytes', { toJSON: () => Uint8Array.of(1) }, 'b"01"'],
    ['a toJSON that gives an object with toJSON', { toJSON: () => ({ a: 1, toJSON: 2 }) }, '{"a":1,"toJSON":2}'],
    ['an object without prototype', Object.assign(Object.create(null), { b: 1, a: 2 }), '{"a":2,"b":1}'],
    ['wrapped primitives', [Object('a'), Object(1), Object(true), Object(1n)], '["a",1,true,1]'],
    ['its own __proto__', JSON.parse('{"__proto__":{"a":1}}'), '{"__proto__":{"a":1}}'],
    ['symbols as names', { [Symbol('x')]: 1, a: 1 }, '{"a":1}'],
  ]
  for (const [what, value, form] of forms) test(`of ${what} is ${form}`, () => assert.equal(canonicalValue(value), form))

  test('of an object of a class is that of its own enumerable members', () => {
    class Money {
      readonly currency = 'eur'
      readonly amount: number
      #seen = 0
      constructor(amount: number) {
        this.amount = amount
      }
      get seen(): number {
        return (this.#seen += 1)
      }
    }
    assert.equal(canonicalValue(new Money(5)), '{"amount":5,"currency":"eur"}')
    class Empty {
      size(): number {
        return 0
      }
    }
    assert.equal(canonicalValue(new Empty()), '{}')
  })

  test('of bytes is shared by no JSON value and no other bytes', () => {
    const bytes = [[], [0], [0, 0], [0x62, 0x22], [1], [16]].map((each) => canonicalValue(Uint8Array.from(each)))
    assert.equal(new Set(bytes).size, bytes.length)
    for (const form of bytes) assert.equal(canonicalJson(form), undefined)
  })
})

describe('an input that cannot be compared is refused with its place and the remedy', () => {
  class Cart extends Map {
    readonly owner = 'ann'
  }
  const values: [string, unknown][] = [
    ['Map', new Map([[1, 2]])],
    ['Map', new Cart()],
    ['Set', new Set([1])],
    ['WeakMap', new WeakMap()],
    ['WeakSet', new WeakSet()],
    ['Promise', Promise.resolve(1)],
    ['RegExp', /x/],
    ['Error', new TypeError('x')],
    ['URLSearchParams', new URLSearchParams('a=1')],
    ['FormData', new FormData()],
    ['Blob', new Blob(['x'])],
    ['Headers', new Headers()],
    ['Float64Array', Float64Array.of(1)],
    ['DataView', new DataView(new ArrayBuffer(1))],
    ['SharedArrayBuffer', new SharedArrayBuffer(1)],
    ['Map Iterator', new Map().values()],
    ['Generator', (function* (): Generator<number> {})()],
    ['function', () => 1],
    ['function', Cart],
    ['symbol', Symbol('x')],
    ['NaN', NaN],
    ['Infinity', Infinity],
    ['-Infinity', -Infinity],
    ['NaN', Object(NaN)],
  ]
  for (const [what, value] of values)
    test(`a ${what}: ${inspect(value)}`, () => {
      const message = (place: string): RegExp =>
        new RegExp(`: ${place.replaceAll(/[$.[\]]/g, '\\$&')} is (?:a )?${what};.*plain JSON values.*fingerprint`)
      const refused = (input: unknown, place: string): void =>
        assert.throws(
          () => canonicalValue(input),
          (error) => error instanceof InputError && message(place).test(error.message),
        )
      refused(value, '$')
      refused({ items: [1, 2, 3, value] }, '$.items[3]')
      refused([{ 'a b': value }], '$[0]["a b"]')
    })

  test('a cycle, directly, through arrays, or through toJSON', () => {
    const self: Record<string, unknown> = {}
    self['self'] = self
    const array: unknown[] = []
    array.push([array])
    const json = { toJSON: (): unknown => ({ again: json }) }
    for (const value of [self, array, json])
      assert.throws(() => canonicalValue(value), /deeper than 64 levels, or the input contains itself/)
  })

  test('one level deeper than jsonDepthMax, as the JSON text would be', () => {
    const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))
    assert.equal(canonicalValue(nested(limits.jsonDepthMax)), JSON.stringify(nested(limits.jsonDepthMax)))
    assert.throws(() => canonicalValue(nested(limits.jsonDepthMax + 1)), InputError)
  })
})
