import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Refusal, limits, refusal } from 'onceward'
import { assertNoUnhandledRejections, charge, inMemory } from './support.ts'

assertNoUnhandledRejections()

describe('a value is decoded alike for its first caller and for replays', () => {
  const cases: readonly (readonly [what: string, value: unknown, decoded: unknown])[] = [
    ['a date is a string', new Date(0), '1970-01-01T00:00:00.000Z'],
    ['undefined stays undefined', undefined, undefined],
    ['null stays null', null, null],
    ['an empty string stays empty', '', ''],
    ['text beyond ASCII stays', 'Zürich 🚂 \u0000 \u2028', 'Zürich 🚂 \u0000 \u2028'],
    ['a lone surrogate stays', '\ud800', '\ud800'],
    ['a byte order mark stays', '\ufeffmark', '\ufeffmark'],
    ['undefined members are left out', { id: 1, note: undefined }, { id: 1 }],
    ['NaN is null', [NaN], [null]],
    ['an object of a class is plain', new URL('https://example.org/a'), 'https://example.org/a'],
    ['a member named __proto__ is a member', JSON.parse('{"__proto__":{"a":1}}'), JSON.parse('{"__proto__":{"a":1}}')],
    ['bytes are bytes', new Uint8Array([0, 255, 128]), new Uint8Array([0, 255, 128])],
    ['no bytes are no bytes', new Uint8Array(0), new Uint8Array(0)],
    ['a Buffer is bytes', Buffer.from('abc'), new Uint8Array([97, 98, 99])],
  ]
  for (const [what, value, decoded] of cases)
    test(what, async () => {
      const once = inMemory()
      const values = [
        ...(await Promise.all([once.run(charge, () => value), once.run(charge, () => value)])),
        await once.run(charge, () => value),
      ]
      assert.deepEqual(values, [decoded, decoded, decoded])
    })

  test('every caller has bytes of its own: what one changes, no other sees', async () => {
    const once = inMemory()
    const handlers = new Uint8Array([1, 2, 3])
    const [first, follower] = await Promise.all([once.run(charge, () => handlers), once.run(charge, () => handlers)])
    const all = [handlers, first, follower, await once.run(charge, () => handlers)]
    for (const bytes of all) {
      assert.deepEqual([...bytes], [1, 2, 3])
      bytes.fill(9)
    }
    assert.deepEqual([...(await once.run(charge, () => handlers))], [1, 2, 3])
  })

  test('every caller has an object of its own', async () => {
    const once = inMemory()
    const handlers = { list: [1] }
    const [first, follower] = await Promise.all([once.run(charge, () => handlers), once.run(charge, () => handlers)])
    first.list.push(2)
    follower.list.push(3)
    handlers.list.push(4)
    assert.deepEqual(await once.run(charge, () => handlers), { list: [1] })
  })
})

describe('an outcome that cannot be kept', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const angry = {
    toJSON(): never {
      throw new Error('no')
    },
  }
  for (const [what, value] of [
    ['a cycle', cycle],
    ['a bigint', 10n],
    ['a function', () => {}],
    ['a symbol', Symbol('s')],
    ['a toJSON that throws', angry],
    ['a value over the limit', 'x'.repeat(limits.outcomeBytesMax)],
  ] as const)
    test(`${what} is handed to its own caller as it is; every duplicate is told that it is not kept, and none runs`, async () => {
      const once = inMemory()
      const calls = [once.run(charge, () => value), once.run(charge, () => assert.fail('it ran'))]
      const [first, follower] = await Promise.allSettled(calls)
      assert.equal(first?.status === 'fulfilled' && first.value === value, true)
      assert.equal(follower?.status === 'rejected' && follower.reason.code, 'outcome_not_kept')
      await assert.rejects(
        once.run(charge, () => assert.fail('it ran')),
        { name: 'OutcomeNotKeptError' },
      )
      assert.deepEqual(await once.try(charge, () => assert.fail('it ran')), { state: 'not_kept' })
    })

  test('a refusal whose details cannot be said is thrown to its own caller; duplicates are told that it is not kept', async () => {
    const once = inMemory()
    const details = { amount: 10n }
    const declined = refusal(422, 'declined', details)
    const error = await once
      .run(charge, () => {
        throw declined
      })
      .catch((caught: unknown) => caught)
    assert.ok(error instanceof Refusal)
    assert.equal(error.details, details)
    assert.deepEqual(await once.try(charge, () => assert.fail('it ran')), { state: 'not_kept' })
  })

  test('an outcome is kept up to the limit, meta and body together, and not one byte beyond', async () => {
    const once = inMemory({ outcomeBytesMax: 'json'.length + 10 })
    const [at, beyond] = ['x'.repeat(10 - 2), 'x'.repeat(10 - 1)]
    assert.equal(await once.run(charge, () => at), at)
    assert.equal(await once.run(charge, () => assert.fail('it ran')), at)
    const other = { ...charge, key: 'k-2' }
    assert.equal(await once.run(other, () => beyond), beyond)
    assert.deepEqual(await once.try(other, () => assert.fail('it ran')), { state: 'not_kept' })
  })

  test('the limit counts bytes of UTF-8', async () => {
    const once = inMemory({ outcomeBytesMax: 'json'.length + 10 })
    await once.run(charge, () => 'ü'.repeat(5))
    assert.deepEqual(await once.try(charge, () => assert.fail('it ran')), { state: 'not_kept' })
  })
})
