import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refusal, type TryResult } from 'onceward'
import { Handler, assertNoUnhandledRejections, charge, faultyMemory, inVirtualTime } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const busy = { state: 'busy', retryAfterMs: 1000, attempted: false }

function completed<Value>(value: Value, replayed: boolean): TryResult<Value> {
  return { state: 'completed', value, replayed }
}

describe('a duplicate of a running operation', () => {
  test('waits, and has its outcome as soon as it is there, without a store call of its own', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    await time.until(handler.started())
    const followers = Array.from({ length: 10 }, () => once.try(charge, never))
    await time.pass(2_000)
    handler.run().resolve('done')
    const endedAt = time.now
    assert.deepEqual(
      await time.until(Promise.all(followers)),
      Array.from({ length: 10 }, () => completed('done', true)),
    )
    assert.equal(time.now, endedAt)
    assert.equal(store.made('claim'), 1)
    assert.equal(await leader, 'done')
  })

  test('has its refusal', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const calls = [once.try(charge, handler.work), once.try(charge, never)]
    await time.until(handler.started())
    handler.run().reject(refusal(402, 'declined'))
    const results = await time.until(Promise.all(calls))
    assert.deepEqual(
      results.map((result) => result.state === 'refused' && [result.refusal.status, result.replayed]),
      [
        [402, false],
        [402, true],
      ],
    )
  })

  test('with another input is a mismatch at once, while it is running', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run({ ...charge, input: 1 }, handler.work)
    await time.until(handler.started())
    const askedAt = time.now
    assert.deepEqual(await time.until(once.try({ ...charge, input: 2 }, never)), { state: 'mismatch' })
    assert.equal(time.now, askedAt)
    handler.run().resolve('done')
    assert.equal(await time.until(leader), 'done')
  })

  test('with another input, called at once with it, is a mismatch as soon as it is running', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run({ ...charge, input: 1 }, handler.work)
    const other = once.try({ ...charge, input: 2 }, never)
    const askedAt = time.now
    assert.deepEqual(await time.until(other), { state: 'mismatch' })
    assert.equal(time.now, askedAt)
    handler.run().resolve('done')
    assert.equal(await time.until(leader), 'done')
  })

  test('that does not wait is busy at once, while it is running', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    await time.until(handler.started())
    const askedAt = time.now
    assert.deepEqual(await time.until(once.try({ ...charge, wait: 0 }, never)), busy)
    assert.equal(time.now, askedAt)
    handler.run().resolve('done')
    assert.equal(await time.until(leader), 'done')
  })

  test('that does not wait, called at once with it, is busy as soon as it is running', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run({ ...charge, wait: 0 }, handler.work)
    const other = once.try({ ...charge, wait: 0 }, never)
    const askedAt = time.now
    assert.deepEqual(await time.until(other), busy)
    assert.equal(time.now, askedAt)
    handler.run().resolve('done')
    assert.equal(await time.until(leader), 'done')
  })

  test('that does not wait is never busy with an operation that is completed: two at once both replay', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    await time.until(once.run(charge, () => 'done'))
    const results = await time.until(
      Promise.all([once.try({ ...charge, wait: 0 }, never), once.try({ ...charge, wait: 0 }, never)]),
    )
    assert.deepEqual(results, [completed('done', true), completed('done', true)])
  })

  test('is busy once its wait is over, to the millisecond, and the running attempt is not disturbed', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    await time.until(handler.started())
    const askedAt = time.now
    assert.deepEqual(await time.until(once.try({ ...charge, wait: 300 }, never)), busy)
    assert.equal(time.now - askedAt, 300)
    handler.run().resolve('done')
    assert.equal(await time.until(leader), 'done')
    assert.equal(handler.count, 1)
  })

  test('whose caller had gone before it was made is rejected at once with the reason', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    await time.until(handler.started())
    const askedAt = time.now
    const reason = new Error('socket closed')
    await assert.rejects(time.until(once.run({ ...charge, signal: AbortSignal.abort(reason) }, never)), reason)
    assert.equal(time.now, askedAt)
    handler.run().resolve('done')
    assert.equal(await time.until(leader), 'done')
  })

  test('whose caller is gone is rejected at once with the reason, and the others still have the outcome', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const gone = new AbortController()
    const leader = once.run(charge, handler.work)
    const leaving = once.run({ ...charge, signal: gone.signal }, never)
    const staying = once.run(charge, never)
    await time.until(handler.started())
    const reason = new Error('socket closed')
    gone.abort(reason)
    const askedAt = time.now
    await assert.rejects(time.until(leaving), reason)
    assert.equal(time.now, askedAt)
    handler.run().resolve('done')
    assert.deepEqual(await time.until(Promise.all([leader, staying])), ['done', 'done'])
  })
})

describe('a hundred duplicates', () => {
  test('of an operation whose first attempt throws: exactly one of them runs next, and the others have its outcome', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const calls = Array.from({ length: 100 }, () => once.try(charge, handler.work))
    const [leader, ...followers] = calls
    assert.ok(leader)
    await time.until(handler.started())
    handler.run().reject(new Error('flaky'))
    await assert.rejects(time.until(leader), { message: 'flaky' })
    await time.until(handler.started(2))
    await time.pass(100)
    assert.equal(handler.count, 2)
    handler.run(2).resolve('second')
    const results = await time.until(Promise.all(followers))
    assert.equal(results.filter((result) => result.state === 'completed' && !result.replayed).length, 1)
    assert.deepEqual(new Set(results.map((result) => result.state === 'completed' && result.value)), new Set(['second']))
    assert.equal(handler.count, 2)
  })

  test('that all fail run one after the other, until none is left or the operation is held', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { attemptsMax: 3 })
    let [running, runningMax, runs] = [0, 0, 0]
    const work = async (): Promise<never> => {
      runs += 1
      running += 1
      runningMax = Math.max(runningMax, running)
      await new Promise<void>((resolve) => time.timer(5, resolve))
      running -= 1
      throw new Error('no')
    }
    const settled = await time.until(Promise.allSettled(Array.from({ length: 100 }, () => once.try(charge, work))))
    const held = settled.filter((each) => each.status === 'fulfilled' && each.value.state === 'held')
    assert.deepEqual([runs, runningMax, held.length], [3, 1, 97])
  })
})

describe('the first of several calls at once', () => {
  test('hands over to one with another input, when its own is a mismatch', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    await time.until(once.run({ ...charge, input: 1 }, () => 'done'))
    const inputs = [2, 1, 3, 1]
    const results = await time.until(Promise.all(inputs.map((input) => once.try({ ...charge, input }, never))))
    assert.deepEqual(results, [{ state: 'mismatch' }, completed('done', true), { state: 'mismatch' }, completed('done', true)])
  })

  test('hands over when its caller is gone before its handler starts: its claim is given back, and the next runs', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const gone = new AbortController()
    const leader = once.run({ ...charge, signal: gone.signal }, never)
    const follower = once.run(charge, ({ number }) => `attempt ${number}`)
    gone.abort(new Error('gone'))
    await assert.rejects(time.until(leader), { message: 'gone' })
    assert.equal(await time.until(follower), 'attempt 1')
  })

  test('hands over to one with another input, when it is gone: that one runs as the first', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const gone = new AbortController()
    const leader = once.run({ ...charge, input: 1, signal: gone.signal }, never)
    const follower = once.run({ ...charge, input: 2 }, () => 'second input')
    const third = once.try({ ...charge, input: 1 }, never)
    gone.abort(new Error('gone'))
    await assert.rejects(time.until(leader), { message: 'gone' })
    assert.equal(await time.until(follower), 'second input')
    assert.deepEqual(await time.until(third), { state: 'mismatch' })
  })

  test('hands over to one that has gone meanwhile, which hands over in turn', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const gone = new AbortController()
    const calls = [
      once.run(charge, handler.work),
      once.run({ ...charge, signal: gone.signal }, never),
      once.run(charge, ({ number }) => `attempt ${number}`),
    ]
    const settled = Promise.allSettled(calls)
    await time.until(handler.started())
    handler.run().reject(new Error('flaky'))
    gone.abort(new Error('gone'))
    assert.deepEqual(
      (await time.until(settled)).map((each) => (each.status === 'fulfilled' ? each.value : each.reason.message)),
      ['flaky', 'gone', 'attempt 2'],
    )
  })

  test('hands over without an opinion of its own: one that does not wait then replays what was completed elsewhere', async () => {
    const time = new VirtualTime()
    const elsewhere = inVirtualTime(time)
    const { once } = inVirtualTime(time, { store: faultyMemory(time, elsewhere.store.inner, { watch: false }) })
    const handler = new Handler<string>()
    const owner = elsewhere.once.run(charge, handler.work)
    await time.until(handler.started())
    const gone = new AbortController()
    const leader = once.run({ ...charge, signal: gone.signal }, never)
    const follower = once.run(charge, never)
    await time.pass(100)
    handler.run().resolve('done')
    await time.until(owner)
    gone.abort(new Error('gone'))
    const hasty = leader.catch(() => once.try({ ...charge, wait: 0 }, never))
    assert.deepEqual(await time.until(hasty), completed('done', true))
    assert.equal(await time.until(follower), 'done')
  })

  test('hands over what is left of a wait: the next waits no longer in all than it may', async () => {
    const time = new VirtualTime()
    const elsewhere = inVirtualTime(time)
    const { once } = inVirtualTime(time, { store: elsewhere.store })
    const handler = new Handler<string>()
    const owner = elsewhere.once.run(charge, handler.work)
    await time.until(handler.started())
    const gone = new AbortController()
    const leader = once.run({ ...charge, signal: gone.signal }, never).catch(() => 'gone')
    const follower = once.try({ ...charge, wait: 500 }, never)
    const askedAt = time.now
    await time.pass(400)
    gone.abort(new Error('gone'))
    assert.deepEqual(await time.until(follower), busy)
    assert.equal(time.now - askedAt, 500)
    handler.run().resolve('done')
    await time.until(Promise.all([leader, owner]))
  })

  test('is busy alone when its own wait is over: the others go on waiting as long as theirs', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    const elsewhere = inVirtualTime(time, { store })
    const handler = new Handler<string>()
    const owner = elsewhere.once.run(charge, handler.work)
    await time.until(handler.started())
    const impatient = once.try({ ...charge, wait: 100 }, never)
    const patient = once.try({ ...charge, wait: 5_000 }, never)
    const startedAt = time.now
    assert.deepEqual(await time.until(impatient), busy)
    assert.ok(time.now - startedAt <= 125)
    await time.pass(1_000)
    handler.run().resolve('done')
    assert.deepEqual(await time.until(patient), completed('done', true))
    await time.until(owner)
  })
})
