import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LeaseLostError, limits, type Attempt } from 'onceward'
import { Handler, assertNoUnhandledRejections, charge, faultyMemory, inVirtualTime, virtualMemory } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')

/** A handler that hands its attempt out, and a way to see when its signal aborts. */
function watched(time: VirtualTime): {
  work: (attempt: Attempt) => Promise<string>
  handler: Handler<string>
  abortedAt: () => number | null
} {
  const handler = new Handler<string>()
  let abortedAt: number | null = null
  const work = ({ signal }: Attempt): Promise<string> => {
    signal.addEventListener('abort', () => (abortedAt = time.now))
    return handler.work()
  }
  return { work, handler, abortedAt: () => abortedAt }
}

describe('a handler slower than its lease', () => {
  test('keeps it by renewals: nobody else can claim, and its signal does not abort', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const elsewhere = inVirtualTime(time, { store, lease: 1_000 })
    const { work, handler, abortedAt } = watched(time)
    const running = once.run(charge, work)
    await time.until(handler.started())
    for (let second = 0; second < 30; second += 1) {
      await time.pass(1_000)
      assert.equal((await time.until(elsewhere.once.try({ ...charge, wait: 0 }, never))).state, 'busy')
    }
    assert.equal(abortedAt(), null)
    handler.run().resolve('slow')
    assert.equal(await time.until(running), 'slow')
  })

  test('renews it about three times a lease, and no more once it has ended', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const handler = new Handler<string>()
    const running = once.run(charge, handler.work)
    await time.until(handler.started())
    await time.pass(10_000)
    const renewals = store.made('renew')
    assert.ok(renewals >= 20 && renewals <= 35, `${renewals} renewals in ten leases`)
    handler.run().resolve('slow')
    await time.until(running)
    await time.pass(10_000)
    assert.equal(store.made('renew'), renewals)
  })

  test('shares its renewals’ way to the store with all that run: one call for many', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const handler = new Handler<string>()
    const calls = Array.from({ length: 50 }, (_, index) => once.run({ ...charge, key: `k-${index}` }, handler.work))
    await time.until(handler.started(50))
    await time.pass(10_000)
    assert.ok(store.made('renew') <= 35, `${store.made('renew')} calls`)
    for (const { resolve } of handler.runs) resolve('slow')
    await time.until(Promise.all(calls))
  })

  test('keeps it though renewals fail two times out of three', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const elsewhere = inVirtualTime(time, { store: faultyMemory(time, store.inner) })
    const { work, handler, abortedAt } = watched(time)
    const running = once.run(charge, work)
    await time.until(handler.started())
    for (let nth = 1; nth <= 300; nth += 1)
      if (nth % 3 !== 0) store.spoil('renew', nth % 2 === 0 ? 'loseRequest' : 'loseReply', nth)
    const taken = elsewhere.once.try({ ...charge, wait: 20_000 }, never)
    await time.pass(19_000)
    assert.equal(abortedAt(), null)
    handler.run().resolve('slow')
    assert.equal(await time.until(running), 'slow')
    assert.deepEqual(await time.until(taken), { state: 'completed', value: 'slow', replayed: true })
  })

  for (const fault of ['hang', 'hangReply'] as const)
    test(`keeps it though a renewal is never answered (${fault}), with the limits as they are`, async () => {
      const time = new VirtualTime()
      const { once, store } = inVirtualTime(time)
      const { work, handler, abortedAt } = watched(time)
      const running = once.run(charge, work)
      await time.until(handler.started())
      store.break({ replyMs: 50 }, 'renew').spoil('renew', fault)
      await time.pass(60_000)
      assert.equal(abortedAt(), null)
      handler.run().resolve('slow')
      assert.equal(await time.until(running), 'slow')
    })
})

describe('the signal of an attempt', () => {
  test('aborts once no renewal was confirmed for the length of the lease, and not much before', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const { work, handler, abortedAt } = watched(time)
    void once.run(charge, work)
    const sentAt = time.now
    await time.until(handler.started())
    store.break('loseRequest', 'renew')
    await time.pass(5_000)
    const lastedMs = (abortedAt() ?? 0) - sentAt
    assert.ok(lastedMs > 800 && lastedMs <= 1_000, `${lastedMs} ms`)
  })

  test('counts from when the last accepted renewal was sent, not from its answer', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const { work, handler, abortedAt } = watched(time)
    void once.run(charge, work)
    await time.until(handler.started())
    store.spoil('renew', { replyMs: 300 })
    while (store.made('renew') === 0) await time.pass(1)
    const sentAt = time.now
    store.break('loseRequest', 'renew')
    await time.pass(5_000)
    const lastedMs = (abortedAt() ?? 0) - sentAt
    assert.ok(lastedMs > 800 && lastedMs <= 1_000, `${lastedMs} ms`)
  })

  test('counts from the newest renewal that was accepted, though an older one is answered after it', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const { work, handler, abortedAt } = watched(time)
    void once.run(charge, work)
    await time.until(handler.started())
    store.spoil('renew', { replyMs: 450 })
    while (store.made('renew') < 2) await time.pass(1)
    const sentAt = time.now
    store.break('loseRequest', 'renew')
    await time.pass(5_000)
    const lastedMs = (abortedAt() ?? 0) - sentAt
    assert.ok(lastedMs > 800 && lastedMs <= 1_000, `${lastedMs} ms`)
  })

  test('counts from when the claim was sent, not from its answer', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const { work, handler, abortedAt } = watched(time)
    store.spoil('claim', { replyMs: 700 })
    void once.run(charge, work)
    const sentAt = time.now
    store.break('loseRequest', 'renew')
    await time.until(handler.started())
    await time.pass(5_000)
    const lastedMs = (abortedAt() ?? 0) - sentAt
    assert.ok(lastedMs > 800 && lastedMs <= 1_000, `${lastedMs} ms`)
  })

  test('aborts as soon as a renewal finds that another attempt has taken over', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    let reason: unknown
    const running = once.try(
      { ...charge, wait: 0 },
      ({ signal }) =>
        new Promise<string>((resolve) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason
            resolve('own')
          })
        }),
    )
    await time.turn()
    const [claim] = store.claims[0] ?? []
    assert.ok(claim)
    await store.inner.settle([{ kind: 'interrupt', cause: 'thrown', id: claim.id, owner: claim.owner, attempt: 1 }])
    await store.inner.claim([{ ...claim, owner: 'another' }])
    await time.pass(500)
    assert.ok(reason instanceof LeaseLostError)
    assert.match(reason.message, /another attempt has taken over/)
    assert.deepEqual(await time.until(running), { state: 'busy', retryAfterMs: 1000, attempted: true })
  })

  test('has aborted already, when it is first asked for after the lease was lost', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    store.break('loseRequest', 'renew')
    const asked = Promise.withResolvers<AbortSignal>()
    void once.run(charge, async (attempt) => {
      await new Promise<void>((resolve) => time.timer(3_000, resolve))
      asked.resolve(attempt.signal)
    })
    const signal = await time.until(asked.promise)
    assert.equal(signal.aborted, true)
    assert.ok(signal.reason instanceof LeaseLostError)
  })

  test('aborts after a stall that was longer than the lease, before the handler goes on', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { lease: 1_000 })
    let aborted: boolean | undefined
    void once.run(charge, async ({ signal }) => {
      await new Promise<void>((resolve) => time.timer(500, resolve))
      aborted = signal.aborted
    })
    await time.turn()
    await time.jump(10_000)
    assert.equal(aborted, true)
  })

  test('does not abort when the attempt has ended: nothing of it is left behind', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { lease: 1_000 })
    let signal: AbortSignal | undefined
    await time.until(once.run(charge, (attempt) => void (signal = attempt.signal)))
    await time.pass(10_000)
    assert.equal(signal?.aborted, false)
  })
})

describe('a claim whose answer took longer than its lease', () => {
  test('does not start the handler when another attempt has taken over meanwhile: it answers what that came to', async () => {
    const time = new VirtualTime()
    const shared = virtualMemory(time)
    const first = inVirtualTime(time, { store: faultyMemory(time, shared), lease: 1_000 })
    const second = inVirtualTime(time, { store: faultyMemory(time, shared), lease: 1_000 })
    first.store.spoil('claim', { replyMs: 1_500 })
    const handler = new Handler<string>()
    const late = first.once.try(charge, handler.work)
    await time.pass(1_200)
    assert.equal(await time.until(second.once.run(charge, ({ number }) => `attempt ${number}`)), 'attempt 2')
    assert.deepEqual(await time.until(late), { state: 'completed', value: 'attempt 2', replayed: true })
    assert.equal(handler.count, 0)
  })

  test('starts the handler once its lease is live again, when nobody took over: as the attempt that it was', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    const elsewhere = inVirtualTime(time, { store: faultyMemory(time, store.inner) })
    store.spoil('claim', { replyMs: 1_500 })
    let state: string | undefined
    const late = once.run(charge, async ({ number }) => {
      state = (await elsewhere.once.try({ ...charge, wait: 0 }, never)).state
      return `attempt ${number}`
    })
    assert.equal(await time.until(late), 'attempt 1')
    assert.equal(state, 'busy')
  })

  test('starts no handler after a stall during which another attempt took over', async () => {
    const time = new VirtualTime()
    const shared = virtualMemory(time)
    const first = inVirtualTime(time, { store: faultyMemory(time, shared), lease: 1_000 })
    first.store.spoil('claim', { replyMs: 10 })
    const handler = new Handler<string>()
    const late = first.once.try({ ...charge, wait: 0 }, handler.work)
    await time.turn()
    const [claim] = first.store.claims[0] ?? []
    assert.ok(claim)
    // While the first instance is stopped, another one takes over: straight at the store, since time here is one for all.
    const jump = time.jump(20_000)
    assert.equal((await shared.claim([{ ...claim, owner: 'another' }]))[0]?.state, 'claimed')
    await jump
    assert.deepEqual(await time.until(late), { state: 'busy', retryAfterMs: 1000, attempted: false })
    assert.equal(handler.count, 0)
  })

  test('gives up when the store answers no claim within its lease: nothing runs, and the claim is given back', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    store.break({ replyMs: 1_500 }, 'claim')
    await assert.rejects(time.until(once.run(charge, never)), { code: 'store_unavailable' })
    store.mend()
    await time.pass(limits.retryMsMax)
    assert.deepEqual(await time.until(once.peek(charge)), { state: 'absent' })
  })
})
