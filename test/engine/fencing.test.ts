import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Ending, OncewardOptions } from 'onceward'
import {
  Handler,
  assertNoUnhandledRejections,
  charge,
  faultyMemory,
  inVirtualTime,
  virtualMemory,
  type Subject,
} from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const fenced = { state: 'busy', retryAfterMs: 1000, attempted: true }
const resolution = { actor: 'ada', reason: 'found out' }

/** Two instances with a way of their own to one store. */
function pair(time: VirtualTime, options: Partial<OncewardOptions> = {}): [Subject, Subject] {
  const shared = virtualMemory(time)
  const subject = (): Subject => inVirtualTime(time, { lease: 1_000, ...options, store: faultyMemory(time, shared) })
  return [subject(), subject()]
}

/** The first instance is cut off from the store while its handler runs, for longer than its lease. */
async function cutOff<Value>(time: VirtualTime, first: Subject, handler: Handler<Value>): Promise<void> {
  await time.until(handler.started())
  first.store.break('loseRequest')
  await time.pass(1_500)
}

describe('an attempt that ends after its lease lapsed', () => {
  test('has its outcome recorded, if nobody took over', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const handler = new Handler<string>()
    const late = first.once.try(charge, handler.work)
    await cutOff(time, first, handler)
    first.store.mend()
    handler.run().resolve('late')
    assert.deepEqual(await time.until(late), { state: 'completed', value: 'late', replayed: false })
    assert.equal(await time.until(second.once.run(charge, never)), 'late')
  })

  test('by a throw is interrupted by it, if nobody took over', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const handler = new Handler<string>()
    const late = first.once.try(charge, handler.work)
    await cutOff(time, first, handler)
    first.store.mend()
    handler.run().reject(new Error('late'))
    await assert.rejects(time.until(late), { message: 'late' })
    assert.deepEqual(await time.until(second.once.peek(charge)), { state: 'interrupted', attempt: 1, cause: 'thrown' })
  })

  for (const [how, end] of [
    ['with an outcome', (handler: Handler<string>) => handler.run().resolve('late')],
    ['by a throw', (handler: Handler<string>) => handler.run().reject(new Error('late'))],
  ] as const) {
    describe(`${how}, after another one took over,`, () => {
      test('answers the outcome of that one', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time)
        const handler = new Handler<string>()
        const late = first.once.try(charge, handler.work)
        await cutOff(time, first, handler)
        assert.equal(await time.until(second.once.run(charge, ({ number }) => `attempt ${number}`)), 'attempt 2')
        first.store.mend()
        end(handler)
        assert.deepEqual(await time.until(late), { state: 'completed', value: 'attempt 2', replayed: true })
        assert.equal(await time.until(second.once.run(charge, never)), 'attempt 2')
      })

      test('waits for the outcome of that one while it runs', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time)
        const handler = new Handler<string>()
        const late = first.once.try(charge, handler.work)
        await cutOff(time, first, handler)
        const owner = new Handler<string>()
        const owning = second.once.run(charge, owner.work)
        await time.until(owner.started())
        first.store.mend()
        end(handler)
        await time.pass(5_000)
        owner.run().resolve('owner')
        assert.deepEqual(await time.until(late), { state: 'completed', value: 'owner', replayed: true })
        assert.equal(await time.until(owning), 'owner')
      })

      test('is busy, as one that has run, when that one goes on beyond its wait', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time)
        const handler = new Handler<string>()
        const late = first.once.try({ ...charge, wait: 700 }, handler.work)
        await cutOff(time, first, handler)
        const owner = new Handler<string>()
        const owning = second.once.run(charge, owner.work)
        await time.until(owner.started())
        first.store.mend()
        end(handler)
        const endedAt = time.now
        assert.deepEqual(await time.until(late), fenced)
        assert.equal(time.now - endedAt, 700)
        owner.run().resolve('owner')
        assert.equal(await time.until(owning), 'owner')
      })

      test('is busy, as one that has run, when that one was interrupted, forgotten or asked for something else', async () => {
        for (const after of ['interrupted', 'forgotten', 'another input']) {
          const time = new VirtualTime()
          const [first, second] = pair(time)
          const handler = new Handler<string>()
          const late = first.once.try(charge, handler.work)
          await cutOff(time, first, handler)
          await assert.rejects(time.until(second.once.run(charge, () => Promise.reject(new Error('again')))), {
            message: 'again',
          })
          if (after !== 'interrupted') await second.store.purge({}, 1)
          if (after === 'another input') await time.until(second.once.run({ ...charge, input: 1 }, () => 'not to be seen'))
          first.store.mend()
          end(handler)
          assert.deepEqual(await time.until(late), fenced, after)
        }
      })

      test('is held when that one is held, and has what was decided when it is resolved', async () => {
        for (const decided of [false, true]) {
          const time = new VirtualTime()
          const [first, second] = pair(time, { interrupted: { thrown: 'hold' } })
          const handler = new Handler<string>()
          const late = first.once.try(charge, handler.work)
          await cutOff(time, first, handler)
          await assert.rejects(time.until(second.once.run(charge, () => Promise.reject(new Error('again')))), {
            message: 'again',
          })
          if (decided) await time.until(second.once.resolve(charge, { outcome: 'decided' }, resolution))
          first.store.mend()
          end(handler)
          const expected = decided
            ? { state: 'completed', value: 'decided', replayed: true }
            : { state: 'held', attempt: 2, cause: 'thrown' }
          assert.deepEqual(await time.until(late), expected)
        }
      })

      test('is expired when the outcome of that one is', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time, { ttl: 2_000, remember: '1h' })
        const handler = new Handler<string>()
        const late = first.once.try(charge, handler.work)
        await cutOff(time, first, handler)
        await time.until(second.once.run(charge, () => 'owner'))
        await time.pass(2_000)
        first.store.mend()
        end(handler)
        assert.deepEqual(await time.until(late), { state: 'expired' })
      })

      test('is told when the outcome of that one was not kept', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time)
        const handler = new Handler<string>()
        const late = first.once.try(charge, handler.work)
        await cutOff(time, first, handler)
        await time.until(second.once.run(charge, () => 10n))
        first.store.mend()
        end(handler)
        assert.deepEqual(await time.until(late), { state: 'not_kept' })
      })

      test('goes on asking for the outcome of that one when the store does not answer, as long as its wait', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time)
        const handler = new Handler<string>()
        const late = first.once.try({ ...charge, wait: 5_000 }, handler.work)
        await cutOff(time, first, handler)
        assert.equal(await time.until(second.once.run(charge, () => 'owner')), 'owner')
        first.store.mend()
        first.store.break('loseRequest', 'find')
        end(handler)
        await time.pass(3_000)
        first.store.mend()
        assert.deepEqual(await time.until(late), { state: 'completed', value: 'owner', replayed: true })
      })

      test('is rejected with its caller’s reason when that is gone, while it waits for that one', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time)
        const handler = new Handler<string>()
        const gone = new AbortController()
        const late = first.once.try({ ...charge, signal: gone.signal }, handler.work)
        await cutOff(time, first, handler)
        const owner = new Handler<string>()
        const owning = second.once.run(charge, owner.work)
        await time.until(owner.started())
        first.store.mend()
        end(handler)
        await time.pass(500)
        gone.abort(new Error('gone'))
        await assert.rejects(time.until(late), { message: 'gone' })
        owner.run().resolve('owner')
        assert.equal(await time.until(owning), 'owner')
      })

      test('hands on what that one came to, to those who followed it', async () => {
        const time = new VirtualTime()
        const [first, second] = pair(time)
        const handler = new Handler<string>()
        const late = first.once.try(charge, handler.work)
        const follower = first.once.try(charge, never)
        await cutOff(time, first, handler)
        assert.equal(await time.until(second.once.run(charge, () => 'owner')), 'owner')
        first.store.mend()
        end(handler)
        const expected = { state: 'completed', value: 'owner', replayed: true }
        assert.deepEqual(await time.until(Promise.all([late, follower])), [expected, expected])
      })
    })
  }

  test('with an answer that is not to be kept, after another one took over, answers the outcome of that one', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const handler = new Handler<Ending>()
    const request = { ...charge, fingerprint: 'f'.repeat(64) }
    const outcome = { kept: true, meta: 'm', body: Buffer.from('owner') }
    const late = first.once.execute(request, handler.work)
    await cutOff(time, first, handler)
    await time.until(second.once.execute(request, async () => ({ state: 'complete', outcome })))
    first.store.mend()
    handler.run().resolve({ state: 'interrupt' })
    assert.deepEqual(await time.until(late), { state: 'completed', outcome, replayed: true, settled: true })
  })

  test('never overwrites what the owner recorded, however often it tries', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const handler = new Handler<string>()
    const late = first.once.try(charge, handler.work)
    await cutOff(time, first, handler)
    handler.run().resolve('late')
    await time.pass(2_000)
    assert.equal(await time.until(second.once.run(charge, () => 'owner')), 'owner')
    first.store.mend()
    assert.deepEqual(await time.until(late), { state: 'completed', value: 'owner', replayed: true })
    await time.pass(60_000)
    assert.equal(await time.until(second.once.run(charge, never)), 'owner')
  })
})
