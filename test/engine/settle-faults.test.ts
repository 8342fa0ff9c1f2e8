import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StoreDataError, limits, type Ending, type Settlement } from 'onceward'
import { Handler, assertNoUnhandledRejections, charge, faultyMemory, inVirtualTime, type Subject } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const request = { ...charge, fingerprint: 'f'.repeat(64) }
const outcome = { kept: true, meta: 'm', body: Buffer.from('done') }
const complete = async (): Promise<Ending> => ({ state: 'complete', outcome })

/** The store refuses settlements with data that it cannot keep. */
function refuse({ store }: Subject, isRefused: (settlement: Settlement) => boolean): void {
  const settle = store.inner.settle.bind(store.inner)
  store.inner.settle = async (settlements) => {
    if (settlements.some(isRefused)) throw new StoreDataError('out of range')
    return settle(settlements)
  }
}

describe('a settlement', () => {
  for (const fault of ['loseRequest', 'loseReply'] as const) {
    test(`that is lost (${fault}) is sent again: its caller gets its outcome as settled, and a repeat replays it`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      store.spoil('settle', fault)
      assert.deepEqual(await time.until(once.execute(request, complete)), {
        state: 'completed',
        outcome,
        replayed: false,
        settled: true,
      })
      assert.equal(store.made('settle'), 2)
      assert.deepEqual(await time.until(once.execute(request, never)), {
        state: 'completed',
        outcome,
        replayed: true,
        settled: true,
      })
    })

    test(`by a throw that is lost (${fault}) is sent again: its caller gets the error, and the next call runs attempt 2`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      store.spoil('settle', fault)
      await assert.rejects(time.until(once.run(charge, () => Promise.reject(new Error('no')))), { message: 'no' })
      assert.equal(await time.until(once.run(charge, ({ number }) => number)), 2)
    })

    test(`that is lost (${fault}) holds up those who follow, until it is accepted`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      store.break(fault, 'settle')
      const calls = [once.run(charge, () => 'done'), once.run(charge, never)]
      await time.pass(1_000)
      store.mend()
      assert.deepEqual(await time.until(Promise.all(calls)), ['done', 'done'])
    })
  }

  for (const fault of ['hang', 'hangReply'] as const)
    test(`that is never answered (${fault}) is sent again once the store's time is up`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time, { storeTimeout: 300 })
      store.spoil('settle', fault)
      const sentAt = time.now
      assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
      assert.ok(time.now - sentAt <= 300 + limits.retryMs)
      assert.equal(await time.until(once.run(charge, never)), 'done')
    })
})

describe('while the store is away when a handler ends', () => {
  test('its caller gets its value, not settled, when the bound is reached; the outcome is recorded when the store is back', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'settle', 'renew')
    const endedAt = time.now
    const result = await time.until(once.execute(request, complete))
    assert.deepEqual(result, { state: 'completed', outcome, replayed: false, settled: false })
    assert.ok(time.now - endedAt <= limits.settleAnswerMs + 1, `${time.now - endedAt} ms`)
    await time.pass(30_000)
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.deepEqual(await time.until(once.execute(request, never)), {
      state: 'completed',
      outcome,
      replayed: true,
      settled: true,
    })
  })

  test('run gives the value all the same, and a repeat replays it later', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'settle')
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.equal(await time.until(once.run(charge, never)), 'done')
  })

  test('a store that never answers does not keep the caller longer than its time and the bound together', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { storeTimeout: '2s' })
    store.break('hang', 'settle', 'renew')
    const endedAt = time.now
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    assert.ok(time.now - endedAt <= 2_000 + limits.settleAnswerMs + 1, `${time.now - endedAt} ms`)
    store.mend()
    await time.pass(2_000 + limits.retryMsMax)
    assert.equal(await time.until(once.run(charge, never)), 'done')
  })

  test('the error of a handler that threw is given to its caller, and the operation is interrupted when the store is back', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'settle')
    await assert.rejects(time.until(once.run(charge, () => Promise.reject(new Error('no')))), { message: 'no' })
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.deepEqual(await time.until(once.peek(charge)), { state: 'interrupted', attempt: 1, cause: 'thrown' })
  })

  test('the lease is kept where that works, so that nobody runs the operation again meanwhile', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const elsewhere = inVirtualTime(time, { store: faultyMemory(time, store.inner) })
    store.break('loseRequest', 'settle')
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    for (let second = 0; second < 60; second += 1) {
      await time.pass(1_000)
      assert.equal((await time.until(elsewhere.once.try({ ...charge, wait: 0 }, never))).state, 'busy')
    }
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.equal(await time.until(elsewhere.once.run(charge, never)), 'done')
  })

  test('a repeat in the same process waits as for a running operation, and is busy after its wait', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'settle')
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    assert.equal((await time.until(once.try({ ...charge, wait: 500 }, never))).state, 'busy')
    const patient = once.run({ ...charge, wait: '1m' }, never)
    await time.pass(5_000)
    store.mend()
    assert.equal(await time.until(patient), 'done')
  })

  test('those who follow get the value too when the bound is reached, as a replay that is not settled', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'settle')
    const results = await time.until(Promise.all([once.execute(request, complete), once.execute(request, never)]))
    assert.deepEqual(results, [
      { state: 'completed', outcome, replayed: false, settled: false },
      { state: 'completed', outcome, replayed: true, settled: false },
    ])
  })

  test('the time of the attempt is not up any more: its lease is kept though that passes', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000, attemptTimeout: 2_000 })
    const elsewhere = inVirtualTime(time, { store: faultyMemory(time, store.inner) })
    store.break('loseRequest', 'settle')
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    await time.pass(20_000)
    assert.equal((await time.until(elsewhere.once.try({ ...charge, wait: 0 }, never))).state, 'busy')
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.equal(await time.until(elsewhere.once.run(charge, never)), 'done')
  })

  test('the settlement is tried for minutes, and then no more', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    store.break('loseRequest', 'settle', 'renew')
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    await time.pass(limits.settleMs - 10_000)
    const before = store.made('settle')
    await time.pass(5_000)
    assert.ok(store.made('settle') > before)
    await time.pass(10_000)
    const after = store.settlements.length
    await time.pass(60_000)
    assert.equal(store.settlements.length, after)
  })

  test('no more than a number of settlements are tried behind answered callers; the others’ leases lapse', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'settle', 'renew')
    const keys = Array.from({ length: limits.unsettledMax + 1 }, (_, index) => `k-${index}`)
    const values = await time.until(Promise.all(keys.map((key) => once.run({ ...charge, key }, () => key))))
    assert.deepEqual(values, keys)
    store.mend()
    await time.pass(60_000)
    const states = await time.until(Promise.all(keys.map(async (key) => (await once.peek({ ...charge, key })).state)))
    assert.equal(states.filter((state) => state === 'completed').length, limits.unsettledMax)
    assert.equal(states.filter((state) => state === 'interrupted').length, 1)
  })
})

describe('an outcome that the database refuses', () => {
  test('is handed to its caller, and the operation is completed as not kept', async () => {
    const time = new VirtualTime()
    const subject = inVirtualTime(time)
    refuse(subject, (settlement) => settlement.kind === 'complete' && settlement.outcome.kept)
    assert.equal(await time.until(subject.once.run(charge, () => 'done')), 'done')
    assert.deepEqual(await time.until(subject.once.try(charge, never)), { state: 'not_kept' })
  })

  test('keeps what it was for doors: its meta', async () => {
    const time = new VirtualTime()
    const subject = inVirtualTime(time)
    refuse(subject, (settlement) => settlement.kind === 'complete' && settlement.outcome.kept)
    await time.until(subject.once.execute(request, complete))
    const replayed = await time.until(subject.once.execute(request, never))
    assert.deepEqual(replayed.state === 'completed' && [replayed.outcome.kept, replayed.outcome.meta], [false, 'm'])
  })

  test('does not touch the others of its batch', async () => {
    const time = new VirtualTime()
    const subject = inVirtualTime(time)
    const isBad = (settlement: Settlement): boolean =>
      settlement.kind === 'complete' && Buffer.from(settlement.outcome.body).includes('bad')
    refuse(subject, isBad)
    const keys = ['k-1', 'k-2', 'bad', 'k-3']
    const handler = new Handler<string>()
    const calls = keys.map((key) => subject.once.run({ ...charge, key }, handler.work))
    await time.until(handler.started(4))
    for (const [index, key] of keys.entries()) handler.run(index + 1).resolve(key)
    assert.deepEqual((await time.until(Promise.all(calls))).toSorted(), keys.toSorted())
    const again = await time.until(Promise.all(keys.map((key) => subject.once.try({ ...charge, key }, never))))
    assert.deepEqual(again.map(({ state }) => state).toSorted(), ['completed', 'completed', 'completed', 'not_kept'])
  })

  test('even without its data is not sent for ever: its caller gets it, not settled', async () => {
    const time = new VirtualTime()
    const subject = inVirtualTime(time)
    refuse(subject, ({ kind }) => kind === 'complete')
    const result = await time.until(subject.once.execute(request, complete))
    assert.deepEqual(result, { state: 'completed', outcome, replayed: false, settled: false })
    assert.ok(subject.store.made('settle') <= 4, `${subject.store.made('settle')} calls`)
  })
})
