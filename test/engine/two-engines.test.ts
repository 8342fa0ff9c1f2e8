import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { limits, onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { FaultyStore } from './faulty-store.ts'
import { Handler, assertNoUnhandledRejections, charge, inVirtualTime, virtualMemory, type Subject } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')

function pair(time: VirtualTime, options: { readonly watch?: boolean } = {}): [Subject, Subject, FaultyStore] {
  const store = new FaultyStore(virtualMemory(time), options)
  return [inVirtualTime(time, { store, lease: 1_000 }), inVirtualTime(time, { store, lease: 1_000 }), store]
}

for (const [how, watch] of [
  ['a store that tells of changes', true],
  ['a store that has to be asked', false],
] as const)
  describe(`two instances on ${how}`, () => {
    test('a waiter in the second has the outcome soon after the first completed it', async () => {
      const time = new VirtualTime()
      const [first, second] = pair(time, { watch })
      const handler = new Handler<string>()
      const leader = first.once.run(charge, handler.work)
      await time.until(handler.started())
      const waiters = [second.once.try(charge, never), second.once.try(charge, never)]
      await time.pass(3_000)
      handler.run().resolve('done')
      await time.until(leader)
      const completedAt = time.now
      const answers = await time.until(Promise.all(waiters))
      assert.deepEqual(
        answers,
        Array.from({ length: 2 }, () => ({ state: 'completed', value: 'done', replayed: true })),
      )
      assert.ok(time.now - completedAt <= (watch ? limits.pollMs : limits.pollMsMax), `${time.now - completedAt} ms`)
    })

    test('a hundred calls over both run the handler once', async () => {
      const time = new VirtualTime()
      const [first, second] = pair(time, { watch })
      let runs = 0
      const work = async (): Promise<number> => {
        await new Promise<void>((resolve) => time.timer(50, resolve))
        return (runs += 1)
      }
      const calls = Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? first : second).once.run(charge, work))
      assert.deepEqual(new Set(await time.until(Promise.all(calls))), new Set([1]))
      assert.equal(runs, 1)
    })

    test('with another input, a call in the second is a mismatch while the first runs', async () => {
      const time = new VirtualTime()
      const [first, second] = pair(time, { watch })
      const handler = new Handler<string>()
      const leader = first.once.run({ ...charge, input: 1 }, handler.work)
      await time.until(handler.started())
      const askedAt = time.now
      assert.deepEqual(await time.until(second.once.try({ ...charge, input: 2 }, never)), { state: 'mismatch' })
      assert.equal(time.now, askedAt)
      handler.run().resolve('done')
      await time.until(leader)
    })

    test('a waiter in the second is busy once its wait is over', async () => {
      const time = new VirtualTime()
      const [first, second] = pair(time, { watch })
      const handler = new Handler<string>()
      const leader = first.once.run(charge, handler.work)
      await time.until(handler.started())
      const askedAt = time.now
      const answer = await time.until(second.once.try({ ...charge, wait: 333 }, never))
      assert.deepEqual(answer, { state: 'busy', retryAfterMs: 1000, attempted: false })
      assert.equal(time.now - askedAt, 333)
      handler.run().resolve('done')
      await time.until(leader)
    })

    test('a waiter in the second runs when the first was interrupted', async () => {
      const time = new VirtualTime()
      const [first, second] = pair(time, { watch })
      const handler = new Handler<string>()
      const leader = first.once.run(charge, handler.work)
      await time.until(handler.started())
      const waiter = second.once.run(charge, ({ number }) => `attempt ${number}`)
      await time.pass(100)
      handler.run().reject(new Error('flaky'))
      await assert.rejects(time.until(leader), { message: 'flaky' })
      assert.equal(await time.until(waiter), 'attempt 2')
    })

    test('a waiter in the second takes over once the lease of the first has lapsed, and the first answers with its outcome', async () => {
      const time = new VirtualTime()
      const [first, second, store] = pair(time, { watch })
      store.break('loseRequest', 'renew')
      const handler = new Handler<string>()
      const leader = first.once.try(charge, handler.work)
      await time.until(handler.started())
      const claimedAt = time.now
      const taken = new Handler<string>()
      const waiter = second.once.run(charge, taken.work)
      await time.until(taken.started())
      const tookMs = time.now - claimedAt
      assert.ok(tookMs >= 1_000 && tookMs <= 1_000 + limits.pollMsMax, `${tookMs} ms`)
      store.mend()
      taken.run().resolve('second')
      assert.equal(await time.until(waiter), 'second')
      handler.run().resolve('first')
      assert.deepEqual(await time.until(leader), { state: 'completed', value: 'second', replayed: true })
    })

    test('a waiter in the second whose caller is gone is rejected at once, and asks no more', async () => {
      const time = new VirtualTime()
      const [first, second, store] = pair(time, { watch })
      const handler = new Handler<string>()
      const leader = first.once.run(charge, handler.work)
      await time.until(handler.started())
      const gone = new AbortController()
      const waiter = second.once.run({ ...charge, signal: gone.signal }, never)
      await time.pass(100)
      gone.abort(new Error('gone'))
      const askedAt = time.now
      await assert.rejects(time.until(waiter), { message: 'gone' })
      assert.equal(time.now, askedAt)
      const claims = store.made('claim')
      await time.pass(500)
      assert.equal(store.made('claim'), claims)
      handler.run().resolve('done')
      await time.until(leader)
    })
  })

describe('a store whose watch', () => {
  const watches: Record<string, NonNullable<FaultyStore['watch']>> = {
    'never answers, not even when it is told to end': () => new Promise(() => {}),
    'fails at once': () => Promise.reject(new Error('cannot watch')),
    'answers at once, without a change': () => Promise.resolve(),
    'throws rather than rejects': () => {
      throw new Error('cannot watch')
    },
  }
  for (const [what, watch] of Object.entries(watches)) {
    test(`${what} is asked by polling instead, and not without a pause`, async () => {
      const time = new VirtualTime()
      const store = Object.assign(new FaultyStore(virtualMemory(time), { watch: false }), { watch })
      const [first, second] = [inVirtualTime(time, { store }), inVirtualTime(time, { store })]
      const handler = new Handler<string>()
      const leader = first.once.run(charge, handler.work)
      await time.until(handler.started())
      const waiter = second.once.run(charge, never)
      await time.pass(1_000)
      assert.ok(store.made('claim') <= 2 + 1_000 / limits.pollMs, `${store.made('claim')} claims`)
      handler.run().resolve('done')
      await time.until(leader)
      const completedAt = time.now
      assert.equal(await time.until(waiter), 'done')
      assert.ok(time.now - completedAt <= limits.pollMsMax)
    })

    test(`${what} does not keep a waiter beyond its wait`, async () => {
      const time = new VirtualTime()
      const store = Object.assign(new FaultyStore(virtualMemory(time), { watch: false }), { watch })
      const [first, second] = [inVirtualTime(time, { store }), inVirtualTime(time, { store })]
      const handler = new Handler<string>()
      const leader = first.once.run(charge, handler.work)
      await time.until(handler.started())
      const askedAt = time.now
      assert.equal((await time.until(second.once.try({ ...charge, wait: 200 }, never))).state, 'busy')
      assert.equal(time.now - askedAt, 200)
      handler.run().resolve('done')
      await time.until(leader)
    })
  }
})

describe('in real time', () => {
  test('a hundred calls over two instances on one memory store run the handler once', async () => {
    const store = memory()
    const instances = [onceward({ store }), onceward({ store })] as const
    let runs = 0
    const work = async (): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      return (runs += 1)
    }
    const calls = Array.from({ length: 100 }, (_, index) => instances[index % 2 === 0 ? 0 : 1].run(charge, work))
    assert.deepEqual(new Set(await Promise.all(calls)), new Set([1]))
    assert.equal(runs, 1)
  })
})
