import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StoreDataError, StoreFullError, StoreUnavailableError, limits, onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { Handler, assertNoUnhandledRejections, charge, faultyMemory, inVirtualTime, virtualMemory } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
/** The longest that a caller waits for a store that fails at once: the last pause may end at the bound. */
const patienceMs = limits.claimRetryMs + limits.retryMsMax

describe('a claim', () => {
  for (const fault of ['loseRequest', 'loseReply'] as const) {
    test(`that is lost (${fault}) is asked again by the same owner: the handler runs once, as attempt 1`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      store.spoil('claim', fault)
      let runs = 0
      const work = ({ number }: { number: number }): string => `attempt ${number}, run ${(runs += 1)}`
      assert.equal(await time.until(once.run(charge, work)), 'attempt 1, run 1')
      assert.equal(await time.until(once.run(charge, never)), 'attempt 1, run 1')
      assert.deepEqual(
        [
          store.claims.length,
          new Set(
            store.claims
              .slice(0, 2)
              .flat()
              .map(({ owner }) => owner),
          ).size,
        ],
        [3, 1],
      )
    })

    test(`that is lost again and again (${fault}), for less than the limit, is asked until it is answered`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      store.break(fault, 'claim')
      const running = once.run(charge, ({ number }) => number)
      await time.pass(500)
      store.mend()
      assert.equal(await time.until(running), 1)
    })

    test(`of an interrupted operation that is lost (${fault}) is asked again: attempt 2, not 3`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      await assert.rejects(time.until(once.run(charge, () => Promise.reject(new Error('no')))), { message: 'no' })
      store.spoil('claim', fault)
      assert.equal(await time.until(once.run(charge, ({ number }) => number)), 2)
    })

    test(`of a completed operation that is lost (${fault}) is asked again: it replays`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      await time.until(once.run(charge, () => 'done'))
      store.spoil('claim', fault)
      assert.equal(await time.until(once.run(charge, never)), 'done')
    })
  }

  for (const fault of ['hang', 'hangReply'] as const)
    test(`that is never answered (${fault}) is asked again once the store's time is up`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time, { storeTimeout: 200 })
      store.spoil('claim', fault)
      const askedAt = time.now
      assert.equal(await time.until(once.run(charge, ({ number }) => number)), 1)
      assert.ok(time.now - askedAt <= 200 + limits.retryMs)
    })

  test('answered with fewer results than it asked for counts as unanswered', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    const claim = store.inner.claim.bind(store.inner)
    let calls = 0
    store.inner.claim = async (claims) => ((calls += 1) === 1 ? [] : claim(claims))
    assert.equal(await time.until(once.run(charge, ({ number }) => number)), 1)
  })

  test('for which the store has no room fails at once, and is not asked again', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.spoil('claim', new StoreFullError('full'))
    const askedAt = time.now
    const calls = [once.run(charge, never), once.run(charge, never)]
    for (const call of calls) await assert.rejects(time.until(call), { name: 'StoreFullError', code: 'store_full' })
    assert.deepEqual([time.now, store.made('claim')], [askedAt, 1])
  })

  test('for which there is no room does not keep others of its batch from the room that there is', async () => {
    const once = onceward({ store: memory({ recordsMax: 2 }) })
    const keys = ['k-1', 'k-2', 'k-3', 'k-4', 'k-5']
    const settled = await Promise.allSettled(keys.map((key) => once.run({ ...charge, key }, () => key)))
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 2)
    assert.ok(settled.every((each) => each.status === 'fulfilled' || each.reason instanceof StoreFullError))
  })

  test('whose data the store refuses fails at once, and is not asked again; others of its batch are not touched', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    const claim = store.inner.claim.bind(store.inner)
    store.inner.claim = async (claims) => {
      if (claims.some(({ key }) => key === 'bad')) throw new StoreDataError('no such character')
      return claim(claims)
    }
    const keys = ['k-1', 'k-2', 'bad', 'k-3', 'k-4']
    const settled = await time.until(Promise.allSettled(keys.map((key) => once.run({ ...charge, key }, () => key))))
    assert.deepEqual(
      settled.map((each) => (each.status === 'fulfilled' ? each.value : each.reason.code)),
      ['k-1', 'k-2', 'store_data', 'k-3', 'k-4'],
    )
  })
})

describe('while the store is away', () => {
  test('a call fails within a bound, its handler does not run, and the error has the cause', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'claim')
    const askedAt = time.now
    const error = await time.until(once.run(charge, never)).catch((caught: unknown) => caught)
    assert.ok(error instanceof StoreUnavailableError)
    assert.match(error.message, /connection was lost.*the handler was not run/)
    assert.ok(error.cause instanceof Error)
    assert.ok(time.now - askedAt <= patienceMs, `${time.now - askedAt} ms`)
  })

  test('a call on a store that never answers fails once the store’s time is up', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { storeTimeout: '3s' })
    store.break('hang')
    const askedAt = time.now
    await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
    assert.ok(time.now - askedAt <= 3_000, `${time.now - askedAt} ms`)
  })

  test('a thousand calls on a store that never answers all fail within twice its time, not one batch after the other', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { storeTimeout: '3s' })
    await time.until(once.open())
    store.break('hang')
    const askedAt = time.now
    const calls = Array.from({ length: 1_000 }, (_, index) => once.run({ ...charge, key: `k-${index}` }, never))
    const settled = await time.until(Promise.allSettled(calls))
    assert.ok(settled.every((each) => each.status === 'rejected' && each.reason instanceof StoreUnavailableError))
    assert.ok(time.now - askedAt <= 6_000, `${time.now - askedAt} ms`)
  })

  test('a call fails sooner than the others, when as many are queued for the store as may be', async () => {
    const time = new VirtualTime()
    const store = faultyMemory(time, virtualMemory(time), { synchronous: false })
    const { once } = inVirtualTime(time, { store })
    await time.until(once.open())
    store.break('hang')
    const tried = (count: number, prefix: string): Promise<unknown>[] =>
      Array.from({ length: count }, (_, index) => once.try({ ...charge, key: `${prefix}-${index}` }, never))
    const onTheirWay = tried(limits.batchMax * limits.batchesInFlightMax, 'sent')
    await time.turn()
    const settled = Promise.allSettled([...onTheirWay, ...tried(limits.queueMax, 'queued')])
    await time.turn()
    const askedAt = time.now
    await assert.rejects(time.until(once.run({ ...charge, key: 'one more' }, never)), {
      message: /10000 calls are already queued/,
    })
    assert.ok(time.now - askedAt <= patienceMs)
    assert.equal(store.made('claim'), limits.batchesInFlightMax)
    assert.ok((await time.until(settled)).every(({ status }) => status === 'rejected'))
  })

  test('those who follow a call fail with it, without store calls of their own', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'claim')
    const askedAt = time.now
    const settled = await time.until(Promise.allSettled(Array.from({ length: 50 }, () => once.run(charge, never))))
    assert.ok(settled.every((each) => each.status === 'rejected' && each.reason instanceof StoreUnavailableError))
    assert.ok(time.now - askedAt <= patienceMs)
    assert.equal(new Set(store.claims.flat().map(({ owner }) => owner)).size, 1)
  })

  test('a waiter for another process fails within the same bound, and gives its place back', async () => {
    const time = new VirtualTime()
    const { once: owner, store } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = owner.run(charge, handler.work)
    await time.until(handler.started())
    const { once, store: way } = inVirtualTime(time, { store: faultyMemory(time, store.inner), waitersMax: 1 })
    const waiter = once.run({ ...charge, wait: '1m' }, never)
    await time.pass(1_000)
    way.break('loseRequest', 'claim')
    const brokenAt = time.now
    await assert.rejects(time.until(waiter), StoreUnavailableError)
    assert.ok(time.now - brokenAt <= patienceMs + limits.pollMsMax)
    way.mend()
    const next = once.run({ ...charge, wait: '1m' }, never)
    await time.pass(100)
    handler.run().resolve('done')
    assert.deepEqual(await time.until(Promise.all([leader, next])), ['done', 'done'])
  })

  test('it works again as soon as the store is back', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('hang')
    await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
    await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
    store.mend()
    const backAt = time.now
    assert.equal(await time.until(once.run(charge, ({ number }) => number)), 1)
    assert.ok(time.now - backAt <= limits.retryMsMax)
  })
})

describe('a claim that may have happened when its call failed', () => {
  for (const fault of ['loseReply', 'hangReply'] as const)
    test(`(${fault}) is given back when the store answers: another call runs at once, as attempt 1`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time, { lease: '1h', storeTimeout: '2s' })
      store.break(fault, 'claim')
      await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
      store.mend()
      const backAt = time.now
      assert.equal(
        await time.until(once.run({ ...charge, input: 'another' }, ({ number }) => number)).catch(({ code }) => code),
        'mismatch',
      )
      await time.pass(limits.retryMsMax)
      assert.equal(await time.until(once.run({ ...charge, input: 'another' }, ({ number }) => number)), 1)
      assert.ok(time.now - backAt <= limits.retryMsMax * 2)
    })

  test('is given back as soon as the store is back, though that takes minutes', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: '1h' })
    store.break('loseReply', 'claim').break('loseRequest', 'settle')
    await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
    await time.pass(200_000)
    assert.equal((await time.until(once.peek(charge))).state, 'running')
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.equal((await time.until(once.peek(charge))).state, 'absent')
  })

  test('of an attempt after the first leaves the operation interrupted, as it was', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: '1h' })
    await assert.rejects(time.until(once.run(charge, () => Promise.reject(new Error('no')))), { message: 'no' })
    store.break('loseReply', 'claim')
    await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.equal((await time.until(once.peek(charge))).state, 'interrupted')
    assert.equal(await time.until(once.run(charge, ({ number }) => number)), 2)
  })

  test('does not take a later attempt of the same operation away', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'claim', 'settle')
    await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
    const elsewhere = inVirtualTime(time, { store: faultyMemory(time, store.inner) })
    const handler = new Handler<string>()
    const running = elsewhere.once.run(charge, handler.work)
    await time.until(handler.started())
    store.mend()
    await time.pass(5_000)
    handler.run().resolve('done')
    assert.equal(await time.until(running), 'done')
    assert.equal(await time.until(once.run(charge, never)), 'done')
  })
})
