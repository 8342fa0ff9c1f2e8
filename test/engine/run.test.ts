import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BusyError, Refusal, onceward, refusal } from 'onceward'
import { memory } from 'onceward/memory'
import { FaultyStore } from './faulty-store.ts'
import { assertNoUnhandledRejections, charge, inMemory } from './support.ts'

assertNoUnhandledRejections()

describe('run', () => {
  test('the first call runs the handler and gives its value', async () => {
    const once = inMemory()
    assert.deepEqual(await once.run(charge, () => ({ id: 'ch_1' })), { id: 'ch_1' })
  })

  test('a repeat gives the value without running the handler again', async () => {
    const once = inMemory()
    let runs = 0
    const work = (): number => (runs += 1)
    assert.deepEqual([await once.run(charge, work), await once.run(charge, work), await once.run(charge, work)], [1, 1, 1])
    assert.equal(runs, 1)
  })

  test('a hundred calls at once run the handler once, and all get its value', async () => {
    const once = inMemory()
    let runs = 0
    const work = async (): Promise<number> => (runs += 1)
    const values = await Promise.all(Array.from({ length: 100 }, () => once.run(charge, work)))
    assert.deepEqual(
      values,
      Array.from({ length: 100 }, () => 1),
    )
    assert.equal(runs, 1)
  })

  test('operations that differ in scope, name or key run each for themselves', async () => {
    const once = inMemory()
    const others = [charge, { ...charge, scope: 'tenant-2' }, { ...charge, name: 'refund' }, { ...charge, key: 'k-2' }]
    for (const [index, operation] of others.entries()) assert.equal(await once.run(operation, () => index), index)
  })

  test('the same letters divided otherwise among scope, name and key are another operation', async () => {
    const once = inMemory()
    await once.run({ scope: 'a', name: 'bc', key: 'd' }, () => 1)
    assert.equal(await once.run({ scope: 'ab', name: 'c', key: 'd' }, () => 2), 2)
    assert.equal(await once.run({ scope: 'a', name: 'b', key: 'cd' }, () => 3), 3)
  })

  test('two instances on one store know of each other', async () => {
    const store = memory()
    const [first, second] = [onceward({ store }), onceward({ store })]
    assert.equal(await first.run(charge, () => 1), 1)
    assert.equal(await second.run(charge, () => 2), 1)
  })

  test('a throw interrupts: its caller gets the error, and the next call runs attempt 2', async () => {
    const once = inMemory()
    const error = new Error('card reader on fire')
    const thrown = await once
      .run(charge, () => {
        throw error
      })
      .catch((caught: unknown) => caught)
    assert.equal(thrown, error)
    assert.equal(await once.run(charge, (attempt) => attempt.number), 2)
  })

  for (const thrown of [undefined, null, 'a string', 0, { plain: 'object' }])
    test(`a throw of ${JSON.stringify(thrown)} interrupts as any other`, async () => {
      const once = inMemory()
      const outcome = await once
        .run(charge, async () => {
          throw thrown
        })
        .then(
          () => 'resolved',
          (caught: unknown) => ({ caught }),
        )
      assert.deepEqual(outcome, { caught: thrown })
      assert.equal(await once.run(charge, (attempt) => attempt.number), 2)
    })

  test('a refusal is an outcome: it is thrown to the first caller and to every repeat, details and all', async () => {
    const once = inMemory()
    const work = (): never => {
      throw refusal(422, 'card declined', { reason: 'expired', at: new Date(0) })
    }
    for (const call of ['first', 'second']) {
      const error = await once.run(charge, work).catch((caught: unknown) => caught)
      assert.ok(error instanceof Refusal, call)
      assert.deepEqual(
        [error.status, error.message, error.details],
        [422, 'card declined', { reason: 'expired', at: '1970-01-01T00:00:00.000Z' }],
        call,
      )
    }
  })

  test('a refusal without details is replayed without details', async () => {
    const once = inMemory()
    const refuse = (): never => {
      throw refusal(404, 'no such card')
    }
    const own = await once.run(charge, refuse).catch((caught: unknown) => caught)
    const replayed = await once.run(charge, refuse).catch((caught: unknown) => caught)
    assert.ok(own instanceof Refusal && replayed instanceof Refusal)
    assert.deepEqual([own.details, replayed.details], [undefined, undefined])
  })

  test('a refusal of another copy of the library is a refusal', async () => {
    const once = inMemory()
    const foreign = Object.assign(new Error('declined'), { code: 'refused', onceward: true, status: 402, details: [1] })
    const fail = (): never => {
      throw foreign
    }
    await assert.rejects(once.run(charge, fail), { name: 'Refusal', status: 402, details: [1] })
    await assert.rejects(once.run(charge, fail), { name: 'Refusal', status: 402, details: [1] })
  })

  test('a handler may take its number and signal apart from the attempt', async () => {
    const once = inMemory()
    const seen = await once.run(charge, ({ number, signal }) => [number, signal.aborted])
    assert.deepEqual(seen, [1, false])
  })

  test('a call whose signal has aborted already is rejected with its reason and runs nothing', async () => {
    const store = new FaultyStore(memory())
    const once = onceward({ store })
    const reason = new Error('gone')
    await assert.rejects(
      once.run({ ...charge, signal: AbortSignal.abort(reason) }, () => assert.fail('it ran')),
      reason,
    )
    assert.deepEqual(store.claims, [])
  })

  test('a signal that aborts while the handler runs does not interrupt it', async () => {
    const once = inMemory()
    const gone = new AbortController()
    const value = await once.run({ ...charge, signal: gone.signal }, async ({ signal }) => {
      gone.abort()
      return signal.aborted
    })
    assert.equal(value, false)
  })
})

describe('try', () => {
  test('tells the first caller its value as its own, and a repeat as a replay', async () => {
    const once = inMemory()
    assert.deepEqual(await once.try(charge, () => 7), { state: 'completed', value: 7, replayed: false })
    assert.deepEqual(await once.try(charge, () => 8), { state: 'completed', value: 7, replayed: true })
  })

  test('tells a refusal as a state', async () => {
    const once = inMemory()
    const results = [await once.try(charge, refuse), await once.try(charge, refuse)]
    assert.deepEqual(
      results.map((result) => result.state === 'refused' && [result.refusal.message, result.replayed]),
      [
        ['declined', false],
        ['declined', true],
      ],
    )
    function refuse(): never {
      throw refusal(402, 'declined')
    }
  })

  test('throws what the handler throws', async () => {
    const once = inMemory()
    const fail = (): never => {
      throw new RangeError('beyond')
    }
    await assert.rejects(once.try(charge, fail), RangeError)
  })

  test('tells a mismatch and a busy operation as states, which run throws as errors', async () => {
    const once = inMemory()
    const { promise, resolve } = Promise.withResolvers<number>()
    const running = once.run({ ...charge, input: 1 }, () => promise)
    const same = { ...charge, input: 1, wait: 0 } as const
    assert.deepEqual(await once.try({ ...charge, input: 2 }, () => 0), { state: 'mismatch' })
    assert.deepEqual(await once.try(same, () => 0), { state: 'busy', retryAfterMs: 1000, attempted: false })
    await assert.rejects(
      once.run({ ...charge, input: 2 }, () => 0),
      { name: 'MismatchError', code: 'mismatch' },
    )
    await assert.rejects(
      once.run(same, () => 0),
      (error: unknown) => error instanceof BusyError && error.retryAfterMs === 1000 && !error.attempted,
    )
    resolve(5)
    assert.equal(await running, 5)
  })
})
