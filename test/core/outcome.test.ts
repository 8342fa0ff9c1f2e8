import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { refusal } from '../../src/core/errors.ts'
import { decodeOutcome, encodeRefusal, encodeValue, notKept, outcomeBytes } from '../../src/core/outcome.ts'

const cycle: Record<string, unknown> = {}
cycle['self'] = cycle

const unsayable = {
  'a cycle': cycle,
  'a bigint': { n: 1n },
  'a function': () => 1,
  'a symbol': Symbol('x'),
  'a toJSON that throws': {
    toJSON: () => {
      throw new Error('no')
    },
  },
  'a toJSON that says nothing': { toJSON: () => undefined },
  'a getter that throws': {
    get x(): never {
      throw new Error('no')
    },
  },
}

describe('a value', () => {
  for (const value of [
    null,
    false,
    0,
    -1.5,
    '',
    'é😀',
    '\ud800',
    [],
    {},
    { a: [1, { b: null }] },
    ['__proto__'],
    { '\u2028': '\0' },
  ])
    test(`${JSON.stringify(value)} is kept as JSON and given back`, () => {
      assert.equal(encodeValue(value).meta, 'json')
      assert.deepEqual(decodeOutcome(encodeValue(value)), { state: 'value', value })
    })

  test('undefined is kept as nothing and given back', () => {
    assert.deepEqual(encodeValue(undefined), { kept: true, meta: 'none', body: new Uint8Array(0) })
    assert.deepEqual(decodeOutcome(encodeValue(undefined)), { state: 'value', value: undefined })
  })

  test('that is bytes is kept unchanged, all 256 of them, also of another realm', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
    for (const value of [bytes, Buffer.from(bytes), runInNewContext('Uint8Array.from({ length: 256 }, (_, i) => i)')])
      assert.deepEqual(decodeOutcome(encodeValue(value)), { state: 'value', value: bytes })
    assert.equal(encodeValue(bytes).meta, 'bytes')
  })

  test('that is bytes is copied: neither the handler nor a caller changes what is stored', () => {
    const given = Uint8Array.of(1, 2, 3)
    const outcome = encodeValue(given)
    given[0] = 9
    const first = decodeOutcome(outcome)
    assert.ok(first.state === 'value' && first.value instanceof Uint8Array)
    first.value[1] = 9
    assert.deepEqual(decodeOutcome(outcome), { state: 'value', value: Uint8Array.of(1, 2, 3) })
  })

  for (const [what, value] of Object.entries(unsayable))
    test(`with ${what} is completed as not kept`, () => {
      assert.deepEqual(encodeValue(value), notKept())
      assert.deepEqual(decodeOutcome(encodeValue(value)), { state: 'not_kept' })
    })
})

describe('a refusal', () => {
  test('is kept with its status, message and details', () => {
    for (const details of [undefined, null, { code: 'insufficient', at: [1] }]) {
      const decoded = decodeOutcome(encodeRefusal(refusal(422, 'card déclined', details)))
      assert.ok(decoded.state === 'refusal')
      const { status, message, details: again, code } = decoded.refusal
      assert.deepEqual([status, message, again, code], [422, 'card déclined', details, 'refused'])
    }
  })

  test('whose details cannot be serialised is completed as not kept', () => {
    assert.deepEqual(encodeRefusal(refusal(422, 'no', { n: 1n })), notKept())
  })
})

describe('an outcome', () => {
  test('that is not kept has no body and the meta given', () => {
    assert.deepEqual(notKept('{"status":201}'), { kept: false, meta: '{"status":201}', body: new Uint8Array(0) })
  })

  test('of another form says that another door or a newer version stored it', () => {
    assert.throws(
      () => decodeOutcome({ kept: true, meta: 'http', body: new Uint8Array(0) }),
      /'http'.*another door or a newer version/,
    )
  })

  test('whose bytes are damaged is an error, never another value', () => {
    const broken = [Uint8Array.of(0xff), new TextEncoder().encode('{"a":'), new TextEncoder().encode('[1]')]
    for (const body of broken.slice(0, 2)) assert.throws(() => decodeOutcome({ kept: true, meta: 'json', body }))
    for (const body of broken) assert.throws(() => decodeOutcome({ kept: true, meta: 'refusal', body }))
  })

  test('has the size of its meta and body', () => {
    assert.equal(outcomeBytes({ kept: true, meta: 'json', body: new Uint8Array(10) }), 14)
  })
})
