import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durationMs, type Duration } from '../../src/core/duration.ts'
import { OptionsError } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'

const accepted: [Duration, number][] = [
  [0, 0],
  [-0, 0],
  [1500, 1_500],
  ['0ms', 0],
  ['250ms', 250],
  ['10s', 10_000],
  ['5m', 300_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['1.5s', 1_500],
  ['1.1s', 1_100],
  ['0.017m', 1_020],
  ['0.1d', 8_640_000],
  ['0.5ms', 1],
  ['1.0001s', 1_001],
  [limits.durationMsMax, limits.durationMsMax],
]

for (const [value, ms] of accepted)
  test(`a duration given as ${typeof value} ${Object.is(value, -0) ? '-0' : value} is ${ms} ms`, () => {
    assert.ok(Object.is(durationMs('ttl', value), ms))
  })

const malformed = [
  NaN,
  1.5,
  Infinity,
  '',
  '10',
  's',
  '10 s',
  ' 10s',
  '10s ',
  '-1s',
  '+1s',
  '1e3s',
  '.5s',
  '1.s',
  '1,5s',
  '10S',
  '10w',
  '0x10s',
]
const untyped = [undefined, null, true, 10n, Symbol('x')]

for (const value of [...malformed, ...untyped])
  test(`a duration given as ${typeof value} '${String(value)}' is refused with the option, the value and the allowed forms`, () => {
    const refusal = (error: unknown): boolean =>
      error instanceof OptionsError &&
      error.message.startsWith('ttl is ') &&
      error.message.includes(String(value)) &&
      error.message.includes("'24h'")
    assert.throws(() => durationMs('ttl', value as Duration), refusal)
  })

test('a duration below the least or above the longest allowed is refused, one at them is accepted', () => {
  assert.equal(durationMs('lease', 10, { min: 10 }), 10)
  assert.throws(() => durationMs('lease', 9, { min: 10 }), /lease is 9, but must be from 10 ms/)
  assert.throws(() => durationMs('lease', -1), OptionsError)
  assert.equal(durationMs('ttl', '3650d'), limits.durationMsMax)
  assert.throws(() => durationMs('ttl', '3651d'), OptionsError)
  assert.throws(() => durationMs('ttl', limits.durationMsMax + 1), OptionsError)
})
