import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { AttemptTimeoutError, type OncewardEvent } from 'onceward'
import { Handler, assertNoUnhandledRejections, charge, faultyMemory, inVirtualTime } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const fail = (): Promise<never> => Promise.reject(new Error('no'))

/** What was told, in a line each: the type, the attempt and what else is particular to it. */
function told(events: readonly OncewardEvent[]): string[] {
  return events.map((event) => {
    const { type } = event
    const attempt = 'attempt' in event ? ` ${event.attempt}` : ''
    if (type === 'interrupted') return `${type}${attempt} ${event.cause}`
    if (type === 'completed') return `${type}${attempt}${event.kept ? '' : ' not kept'}`
    if (type === 'storeFailed') return `${type} ${event.call}`
    return `${type}${attempt}`
  })
}

describe('the listener is told of', () => {
  test('the store when it is open: its name, its tier and why', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    await time.until(Promise.all([once.open(), once.peek(charge)]))
    const reason = 'records are kept in this process and vanish with it'
    assert.deepEqual(events, [{ type: 'opened', store: 'memory', tier: 'best-effort', reason }])
  })

  test('a call that runs: claimed, completed', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    await time.until(once.run(charge, () => 'done'))
    assert.deepEqual(told(events), ['opened', 'claimed 1', 'completed 1'])
  })

  test('a call whose outcome cannot be kept: claimed, completed as not kept', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    await time.until(once.run(charge, () => 10n))
    assert.deepEqual(told(events), ['opened', 'claimed 1', 'completed 1 not kept'])
  })

  test('a repeat: replayed', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    await time.until(once.run(charge, () => 'done'))
    events.length = 0
    await time.until(once.run(charge, never))
    assert.deepEqual(told(events), ['replayed'])
  })

  test('a duplicate that waits: waiting, replayed', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    await time.until(handler.started())
    events.length = 0
    const follower = once.run(charge, never)
    handler.run().resolve('done')
    await time.until(Promise.all([leader, follower]))
    assert.deepEqual(told(events), ['waiting', 'completed 1', 'replayed'])
  })

  test('a duplicate that waits for another process: waiting, replayed', async () => {
    const time = new VirtualTime()
    const owner = inVirtualTime(time)
    const { once, events } = inVirtualTime(time, { store: owner.store })
    const handler = new Handler<string>()
    const leader = owner.once.run(charge, handler.work)
    await time.until(handler.started())
    const waiter = once.run(charge, never)
    await time.pass(1_000)
    handler.run().resolve('done')
    await time.until(Promise.all([leader, waiter]))
    assert.deepEqual(told(events), ['opened', 'waiting', 'replayed'])
  })

  test('a duplicate whose wait is over: waiting, busy', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    await time.until(handler.started())
    events.length = 0
    await time.until(once.try({ ...charge, wait: 100 }, never))
    assert.deepEqual(told(events), ['waiting', 'busy'])
    handler.run().resolve('done')
    await time.until(leader)
  })

  test('a duplicate that does not wait: busy; one with another input: mismatch', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    await time.until(handler.started())
    events.length = 0
    await time.until(once.try({ ...charge, wait: 0 }, never))
    await time.until(once.try({ ...charge, input: 1 }, never))
    assert.deepEqual(told(events), ['busy', 'mismatch'])
    handler.run().resolve('done')
    await time.until(leader)
  })

  test('the key used for another input: mismatch', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    await time.until(once.run(charge, () => 'done'))
    events.length = 0
    await time.until(once.try({ ...charge, input: 1 }, never))
    assert.deepEqual(told(events), ['mismatch'])
  })

  test('an attempt that throws, with its error: claimed, interrupted', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    const error = new Error('no')
    await assert.rejects(time.until(once.run(charge, () => Promise.reject(error))), error)
    assert.deepEqual(told(events), ['opened', 'claimed 1', 'interrupted 1 thrown'])
    const last = events.at(-1)
    assert.ok(last?.type === 'interrupted' && last.error === error)
    await time.until(once.run(charge, () => 'done'))
    assert.deepEqual(told(events).slice(3), ['claimed 2', 'completed 2'])
  })

  test('an answer that is not to be kept: claimed, interrupted', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    await time.until(once.execute({ ...charge, fingerprint: 'f'.repeat(64) }, async () => ({ state: 'interrupt' })))
    assert.deepEqual(told(events), ['opened', 'claimed 1', 'interrupted 1 answered'])
  })

  test('a handler whose time is up, and of its late end: claimed, interrupted, completed', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time, { lease: 1_000, attemptTimeout: 300 })
    const handler = new Handler<string>()
    await assert.rejects(time.until(once.run(charge, handler.work)), AttemptTimeoutError)
    assert.deepEqual(told(events), ['opened', 'claimed 1', 'interrupted 1 lapsed'])
    const last = events.at(-1)
    assert.ok(last?.type === 'interrupted' && last.error instanceof AttemptTimeoutError)
    handler.run().resolve('late')
    await time.pass(1)
    assert.deepEqual(told(events).slice(3), ['completed 1'])
  })

  test('an attempt that had lost its operation: fenced, and then what it was answered', async () => {
    const time = new VirtualTime()
    const first = inVirtualTime(time, { lease: 1_000 })
    const second = inVirtualTime(time, { store: faultyMemory(time, first.store.inner), lease: 1_000 })
    first.store.break('loseRequest', 'renew')
    const handler = new Handler<string>()
    const late = first.once.run(charge, handler.work)
    await time.pass(1_500)
    await time.until(second.once.run(charge, () => 'owner'))
    handler.run().resolve('late')
    assert.equal(await time.until(late), 'owner')
    assert.deepEqual(
      told(first.events).filter((line) => line !== 'storeFailed renew'),
      ['opened', 'claimed 1', 'fenced 1'],
    )
    assert.deepEqual(told(second.events), ['opened', 'claimed 2', 'completed 2'])
  })

  test('a claim given back because its caller is gone: released', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    const gone = new AbortController()
    const running = once.run({ ...charge, signal: gone.signal }, never)
    gone.abort(new Error('gone'))
    await assert.rejects(time.until(running), { message: 'gone' })
    assert.deepEqual(told(events), ['opened', 'released'])
  })

  test('a claim given up because the store is away: each failure, and released', async () => {
    const time = new VirtualTime()
    const { once, store, events } = inVirtualTime(time, { storeTimeout: '2s' })
    store.break('hang', 'claim')
    await assert.rejects(time.until(once.run(charge, never)), { code: 'store_unavailable' })
    assert.deepEqual(told(events), ['opened', 'storeFailed claim', 'released'])
  })

  test('a held operation that is asked for, and of its resolution: held, resolved with the actor and the reason', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time, { interrupted: 'hold' })
    await assert.rejects(time.until(once.run(charge, fail)), { message: 'no' })
    await time.until(once.try(charge, never))
    await time.until(once.resolve(charge, { outcome: 1 }, { actor: 'ada', reason: 'looked' }))
    assert.deepEqual(told(events), ['opened', 'claimed 1', 'interrupted 1 thrown', 'held 1', 'resolved'])
    const last = events.at(-1)
    assert.ok(last?.type === 'resolved')
    assert.deepEqual([last.actor, last.reason, last.key], ['ada', 'looked', 'k-1'])
  })

  test('no resolution where nothing was held', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    await time.until(once.resolve(charge, 'absent', { actor: 'ada', reason: 'looked' }))
    assert.deepEqual(told(events), ['opened'])
  })

  test('every store call that failed: which, and with what', async () => {
    const time = new VirtualTime()
    const { once, store, events } = inVirtualTime(time, { lease: 1_000, interrupted: 'hold' })
    store.spoil('open', 'loseRequest').spoil('claim', 'loseReply').spoil('settle', 'loseReply').spoil('renew', 'loseRequest')
    const slow = (): Promise<never> => new Promise((_, reject) => time.timer(500, () => reject(new Error('no'))))
    await assert.rejects(time.until(once.run(charge, slow)), { message: 'no' })
    store.spoil('find', 'hang').spoil('settle', 'hang')
    await assert.rejects(time.until(once.peek(charge)))
    await assert.rejects(time.until(once.resolve(charge, 'absent', { actor: 'ada', reason: 'looked' })))
    store.spoil('sweep', 'loseRequest')
    await time.pass(1_000)
    assert.deepEqual(
      told(events).filter((line) => line.startsWith('storeFailed')),
      ['claim', 'claim', 'renew', 'settle', 'find', 'resolve', 'sweep'].map((call) => `storeFailed ${call}`),
    )
    assert.ok(events.every((event) => event.type !== 'storeFailed' || event.error instanceof Error))
  })
})

describe('an event about an operation', () => {
  test('bears its name, its key and a digest of its scope, and never the scope', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    const operation = { scope: 'tenant-of-ada@example.org', name: 'charge', key: 'k-9' }
    await time.until(Promise.all([once.run(operation, () => 'done'), once.run(operation, never)]))
    await time.until(once.run(operation, never))
    const scopeDigest = createHash('sha256').update(operation.scope).digest('hex').slice(0, 16)
    for (const event of events.filter(({ type }) => type !== 'opened')) {
      assert.ok('key' in event)
      assert.deepEqual([event.name, event.key, event.scopeDigest], ['charge', 'k-9', scopeDigest])
    }
    assert.equal(events.length, 6)
    assert.ok(!JSON.stringify(events).includes('ada@example.org'))
  })

  test('tells how long after the call it happened', async () => {
    const time = new VirtualTime()
    const { once, events } = inVirtualTime(time)
    const slow = (): Promise<string> => new Promise((resolve) => time.timer(1_500, () => resolve('done')))
    const leader = once.run(charge, slow)
    await time.pass(500)
    await time.until(Promise.all([leader, once.run(charge, never)]))
    const durations = events.flatMap((event) => ('durationMs' in event ? [[event.type, event.durationMs]] : []))
    assert.deepEqual(durations, [
      ['claimed', 0],
      ['waiting', 0],
      ['completed', 1_500],
      ['replayed', 1_000],
    ])
  })
})

describe('a listener that', () => {
  const listeners: Record<string, () => unknown> = {
    throws: () => {
      throw new Error('listener')
    },
    'is asynchronous and fails': () => Promise.reject(new Error('listener')),
  }
  for (const [what, onEvent] of Object.entries(listeners))
    test(`${what} changes nothing for anybody`, async () => {
      const time = new VirtualTime()
      const { once } = inVirtualTime(time, { onEvent, interrupted: { thrown: 'hold' } })
      assert.deepEqual(await time.until(Promise.all([once.run(charge, () => 1), once.run(charge, never)])), [1, 1])
      assert.equal((await time.until(once.try({ ...charge, input: 1 }, never))).state, 'mismatch')
      const other = { ...charge, key: 'k-2' }
      await assert.rejects(time.until(once.run(other, fail)), { message: 'no' })
      assert.equal((await time.until(once.try(other, never))).state, 'held')
      assert.equal(await time.until(once.resolve(other, { outcome: 2 }, { actor: 'a', reason: 'b' })), true)
      assert.equal(await time.until(once.run<number>(other, never)), 2)
    })
})
