import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { limits, type Once } from 'onceward'
import { Handler, assertNoUnhandledRejections, charge, inVirtualTime } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const busy = { state: 'busy', retryAfterMs: 1000, attempted: false }

/** An operation that runs until its handler is told to end. */
async function running(time: VirtualTime, once: Once, key: string = charge.key): Promise<Handler<string>> {
  const handler = new Handler<string>()
  void once.run({ ...charge, key }, handler.work)
  await time.until(handler.started())
  return handler
}

function stateWithin<Result>(time: VirtualTime, result: Promise<Result>): Promise<Result | 'waiting'> {
  return Promise.race([result, time.pass(50).then(() => 'waiting' as const)])
}

describe('waitersMax', () => {
  test('calls beyond it are busy at once; those that wait still have the outcome', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { waitersMax: 2 })
    const handler = await running(time, once)
    const waiting = [once.run(charge, never), once.run(charge, never)]
    const askedAt = time.now
    assert.deepEqual(await time.until(once.try(charge, never)), busy)
    assert.equal(time.now, askedAt)
    handler.run().resolve('done')
    assert.deepEqual(await time.until(Promise.all(waiting)), ['done', 'done'])
  })

  test('counts the waiters of all operations together', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { waitersMax: 1 })
    await running(time, once, 'k-1')
    await running(time, once, 'k-2')
    const first = once.try({ ...charge, key: 'k-1' }, never)
    assert.deepEqual(await stateWithin(time, once.try({ ...charge, key: 'k-2' }, never)), busy)
    assert.equal(await stateWithin(time, first), 'waiting')
  })

  test('of zero: nobody waits, and whoever would run runs all the same', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { waitersMax: 0 })
    const handler = await running(time, once)
    assert.deepEqual(await time.until(once.try(charge, never)), busy)
    handler.run().resolve('done')
    await time.pass(1)
    assert.equal(await time.until(once.run(charge, never)), 'done')
    assert.equal(await time.until(once.run({ ...charge, key: 'k-2' }, () => 'own')), 'own')
  })

  test('counts those that wait for another process', async () => {
    const time = new VirtualTime()
    const { once: elsewhere, store } = inVirtualTime(time)
    await running(time, elsewhere, 'k-1')
    await running(time, elsewhere, 'k-2')
    const { once } = inVirtualTime(time, { store, waitersMax: 1 })
    const first = once.try({ ...charge, key: 'k-1' }, never)
    assert.equal(await stateWithin(time, first), 'waiting')
    assert.deepEqual(await stateWithin(time, once.try({ ...charge, key: 'k-2' }, never)), busy)
  })

  const ends: Record<string, (time: VirtualTime, handler: Handler<string>, gone: AbortController) => Promise<void>> = {
    'was answered': async (time, handler) => {
      handler.run().resolve('done')
      await time.pass(1)
    },
    'waited long enough': (time) => time.pass(500),
    'is gone': async (_, __, gone) => gone.abort(new Error('gone')),
    'leads on': async (time, handler) => {
      handler.run().reject(new Error('flaky'))
      await time.pass(1)
    },
  }
  for (const [end, bringAbout] of Object.entries(ends))
    for (const where of ['this process', 'another process'])
      test(`a waiter for ${where} that ${end} gives its place back`, async () => {
        const time = new VirtualTime()
        const { once, store } = inVirtualTime(time, { waitersMax: 1 })
        const owner = where === 'this process' ? once : inVirtualTime(time, { store }).once
        const handler = new Handler<string>()
        const leader = owner.run(charge, handler.work).catch(() => 'failed')
        await time.until(handler.started())
        const gone = new AbortController()
        const waiter = once.try({ ...charge, wait: 500, signal: gone.signal }, () => 'second').catch(() => 'failed')
        await time.pass(10)
        await bringAbout(time, handler, gone)
        await time.until(waiter)
        await running(time, once, 'k-2')
        const next = once.try({ ...charge, key: 'k-2' }, never)
        assert.equal(await stateWithin(time, next), 'waiting')
        handler.run().resolve('done')
        await time.until(leader)
      })
})

describe('the limit of waiters for one operation', () => {
  test('is reached with that many, and the next is busy at once, while other operations are waited for as ever', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = await running(time, once)
    const other = await running(time, once, 'k-2')
    const waiting = Array.from({ length: limits.waitersPerOperationMax }, () => once.run(charge, never))
    const askedAt = time.now
    assert.deepEqual(await time.until(once.try(charge, never)), busy)
    assert.equal(time.now, askedAt)
    const elsewhere = once.run({ ...charge, key: 'k-2' }, never)
    other.run().resolve('other')
    assert.equal(await time.until(elsewhere), 'other')
    handler.run().resolve('done')
    assert.deepEqual(new Set(await time.until(Promise.all(waiting))), new Set(['done']))
  })
})
