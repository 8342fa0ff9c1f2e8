import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ClosedError } from 'onceward'
import { Handler, assertNoUnhandledRejections, charge, inMemory, inVirtualTime, virtualMemory } from './support.ts'
import { FaultyStore } from './faulty-store.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const resolution = { actor: 'ada', reason: 'because' }

/** A store that tells whether it was closed, and refuses calls after that. */
class ClosingStore extends FaultyStore {
  closed = 0

  override async close(): Promise<void> {
    this.closed += 1
    this.break(new Error('the store is closed'))
    await super.close()
  }
}

describe('close', () => {
  test('lets running handlers end and be settled, and closes the store after that', async () => {
    const time = new VirtualTime()
    const store = new ClosingStore(virtualMemory(time))
    const { once } = inVirtualTime(time, { store })
    const handler = new Handler<string>()
    const running = once.run(charge, handler.work)
    await time.until(handler.started())
    const closing = once.close()
    await time.pass(1_000)
    assert.equal(store.closed, 0)
    handler.run().resolve('done')
    assert.equal(await time.until(running), 'done')
    await time.until(closing)
    assert.equal(store.closed, 1)
    store.mend()
    assert.equal(await time.until(inVirtualTime(time, { store }).once.run(charge, never)), 'done')
  })

  test('lets those that wait for a running handler be answered too', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const calls = [once.run(charge, handler.work), once.run(charge, never)]
    await time.until(handler.started())
    const closing = once.close()
    handler.run().resolve('done')
    assert.deepEqual(await time.until(Promise.all(calls)), ['done', 'done'])
    await time.until(closing)
  })

  test('waits for settlements that are still being tried behind answered callers', async () => {
    const time = new VirtualTime()
    const store = new ClosingStore(virtualMemory(time))
    const { once } = inVirtualTime(time, { store })
    store.break('loseRequest', 'settle')
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    const closing = once.close()
    await time.pass(2_000)
    assert.equal(store.closed, 0)
    store.mend()
    await time.until(closing)
    assert.equal(store.closed, 1)
    store.mend()
    assert.equal(await time.until(inVirtualTime(time, { store }).once.run(charge, never)), 'done')
  })

  test('waits ten seconds for them while the store is away, and then gives them up', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    await time.until(once.run({ ...charge, key: 'before' }, () => 'opened'))
    store.break('loseRequest', 'settle')
    assert.equal(await time.until(once.run(charge, () => 'paid')), 'paid')
    const closed = once.close()
    const startedAt = time.now
    await time.until(closed)
    assert.ok(time.now - startedAt >= 9_000 && time.now - startedAt <= 15_000, `${time.now - startedAt} ms`)
  })

  test('refuses new calls of every kind, at once', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const handler = new Handler<string>()
    const defined = once.operation('charge', never)
    const running = once.run(charge, handler.work)
    await time.until(handler.started())
    const closing = once.close()
    const calls: Record<string, () => Promise<unknown>> = {
      run: () => once.run({ ...charge, key: 'k-2' }, never),
      'run of what is running': () => once.run(charge, never),
      try: () => once.try({ ...charge, key: 'k-2' }, never),
      execute: () => once.execute({ ...charge, fingerprint: '0'.repeat(64) }, async () => never()),
      operation: () => defined({ scope: 'tenant-1', key: 'k-2' }, 1),
      peek: () => once.peek(charge),
      resolve: () => once.resolve(charge, 'absent', resolution),
      open: () => once.open(),
    }
    for (const [name, call] of Object.entries(calls)) await assert.rejects(time.until(call()), ClosedError, name)
    handler.run().resolve('done')
    await time.until(Promise.all([running, closing]))
    for (const [name, call] of Object.entries(calls)) await assert.rejects(time.until(call()), ClosedError, name)
  })

  test('may be called again: it closes the store once', async () => {
    const time = new VirtualTime()
    const store = new ClosingStore(virtualMemory(time))
    const { once } = inVirtualTime(time, { store })
    await time.until(once.open())
    await time.until(Promise.all([once.close(), once.close()]))
    await time.until(once.close())
    assert.equal(store.closed, 1)
  })

  test('does not open or close a store that was never opened', async () => {
    const time = new VirtualTime()
    const store = new ClosingStore(virtualMemory(time))
    const { once } = inVirtualTime(time, { store })
    await time.until(once.close())
    assert.deepEqual([store.made('open'), store.closed], [0, 0])
  })

  test('closes a store that is just being opened', async () => {
    const time = new VirtualTime()
    const store = new ClosingStore(virtualMemory(time))
    const { once } = inVirtualTime(time, { store })
    const opening = once.open()
    await time.until(once.close())
    await opening
    assert.equal(store.closed, 1)
  })

  test('waits for a look and for a decision of an operator that are on their way', async () => {
    const time = new VirtualTime()
    const store = new ClosingStore(virtualMemory(time))
    const { once } = inVirtualTime(time, { store })
    await time.until(once.open())
    const calls = [once.peek(charge), once.resolve(charge, 'absent', resolution)]
    const closing = once.close()
    assert.deepEqual(await time.until(Promise.all(calls)), [{ state: 'absent' }, false])
    await time.until(closing)
  })

  test('does not wait for a handler whose time was up; should that end later, the store is not asked any more', async () => {
    const time = new VirtualTime()
    const store = new ClosingStore(virtualMemory(time))
    const { once } = inVirtualTime(time, { store, lease: 1_000, attemptTimeout: 2_000 })
    const handler = new Handler<string>()
    await assert.rejects(time.until(once.run(charge, handler.work)), { code: 'attempt_timeout' })
    await time.until(once.close())
    const asked = store.settlements.length
    handler.run().resolve('late')
    await time.pass(400_000)
    assert.equal(store.settlements.length, asked)
  })

  test('ends what goes on in the background: no timer is left', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    await time.until(once.run(charge, () => 1))
    await time.until(once.close())
    await time.pass(60_000)
    assert.equal(store.made('sweep'), 0)
  })

  test('leaves other instances on the store at work', async () => {
    const [first, second] = [inMemory(), inMemory()]
    await first.close()
    assert.equal(await second.run(charge, () => 1), 1)
  })
})
