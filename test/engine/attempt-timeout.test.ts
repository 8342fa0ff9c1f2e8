import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AttemptTimeoutError } from 'onceward'
import { Handler, assertNoUnhandledRejections, charge, inVirtualTime, type Subject } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')

/** An instance whose handlers may run for two seconds, and a handler that has run for longer. */
async function overdue(time: VirtualTime, options: object = {}): Promise<{ subject: Subject; handler: Handler<string> }> {
  const subject = inVirtualTime(time, { lease: 1_000, attemptTimeout: 2_000, ...options })
  const handler = new Handler<string>()
  await assert.rejects(time.until(subject.once.run(charge, handler.work)), AttemptTimeoutError)
  return { subject, handler }
}

describe('a handler that runs for longer than it may', () => {
  test('is given up soon after: its caller gets an error, and its signal aborts with it', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { lease: 1_000, attemptTimeout: 2_000 })
    let signal: AbortSignal | undefined
    const startedAt = time.now
    const error = await time
      .until(
        once.run(charge, (attempt) => {
          signal = attempt.signal
          return new Promise(() => {})
        }),
      )
      .catch((caught: unknown) => caught)
    assert.ok(error instanceof AttemptTimeoutError)
    assert.match(error.message, /2000 ms/)
    assert.equal(signal?.reason, error)
    const tookMs = time.now - startedAt
    assert.ok(tookMs >= 2_000 && tookMs <= 2_200, `${tookMs} ms`)
  })

  test('is not cut short before', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { lease: 1_000, attemptTimeout: 2_000 })
    const value = await time.until(
      once.run(charge, () => new Promise<string>((resolve) => time.timer(1_999, () => resolve('done')))),
    )
    assert.equal(value, 'done')
  })

  test('may run for less than its lease, too', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { lease: '10s', attemptTimeout: 100 })
    const startedAt = time.now
    await assert.rejects(time.until(once.run(charge, () => new Promise(() => {}))), AttemptTimeoutError)
    assert.ok(time.now - startedAt <= 125)
  })

  test('keeps its lease no longer: the next call runs attempt 2 within a lease', async () => {
    const time = new VirtualTime()
    const { subject } = await overdue(time)
    const givenUpAt = time.now
    assert.equal(await time.until(subject.once.run(charge, ({ number }) => `attempt ${number}`)), 'attempt 2')
    assert.ok(time.now - givenUpAt <= 1_000 + 25)
  })

  test('lets one of those who followed it run, once its lease has lapsed', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { lease: 1_000, attemptTimeout: 2_000 })
    const handler = new Handler<string>()
    const leader = once.run(charge, handler.work)
    const follower = once.run(charge, ({ number }) => `attempt ${number}`)
    await assert.rejects(time.until(leader), AttemptTimeoutError)
    assert.equal(await time.until(follower), 'attempt 2')
  })

  test('and ends after that is recorded all the same, if nobody took over: before its lease lapsed', async () => {
    const time = new VirtualTime()
    const { subject, handler } = await overdue(time)
    handler.run().resolve('late')
    await time.pass(10)
    assert.equal(await time.until(subject.once.run(charge, never)), 'late')
  })

  test('and ends after that is recorded all the same, if nobody took over: after its lease lapsed', async () => {
    const time = new VirtualTime()
    const { subject, handler } = await overdue(time)
    await time.pass(60_000)
    handler.run().resolve('late')
    await time.pass(10)
    assert.equal(await time.until(subject.once.run(charge, never)), 'late')
  })

  test('and ends after another one took over is dropped', async () => {
    const time = new VirtualTime()
    const { subject, handler } = await overdue(time)
    assert.equal(await time.until(subject.once.run(charge, () => 'second')), 'second')
    handler.run().resolve('late')
    await time.pass(60_000)
    assert.equal(await time.until(subject.once.run(charge, never)), 'second')
  })

  test('and ends while another one runs does not disturb that one', async () => {
    const time = new VirtualTime()
    const { subject, handler } = await overdue(time)
    const owner = new Handler<string>()
    const owning = subject.once.run(charge, owner.work)
    await time.until(owner.started())
    handler.run().resolve('late')
    await time.pass(500)
    owner.run().resolve('second')
    assert.equal(await time.until(owning), 'second')
  })

  test('and throws after that is interrupted by it, if nobody took over', async () => {
    const time = new VirtualTime()
    const { subject, handler } = await overdue(time, { interrupted: { thrown: 'hold' } })
    handler.run().reject(new Error('late'))
    await time.pass(10)
    assert.deepEqual(await time.until(subject.once.peek(charge)), { state: 'held', attempt: 1, cause: 'thrown' })
  })

  test('and throws after another one took over changes nothing', async () => {
    const time = new VirtualTime()
    const { subject, handler } = await overdue(time, { interrupted: { thrown: 'hold' } })
    assert.equal(await time.until(subject.once.run(charge, () => 'second')), 'second')
    handler.run().reject(new Error('late'))
    await time.pass(10)
    assert.equal(await time.until(subject.once.run(charge, never)), 'second')
  })

  test('and never ends costs nothing after: its lease is not renewed, and the store is not asked', async () => {
    const time = new VirtualTime()
    const { subject } = await overdue(time)
    const asked = subject.store.settlements.length
    await time.pass(10_000)
    assert.equal(subject.store.settlements.length, asked)
  })

  test('and ends after another one took over asks the store once, and waits for nobody', async () => {
    const time = new VirtualTime()
    const { subject, handler } = await overdue(time)
    const owner = new Handler<string>()
    const owning = subject.once.run(charge, owner.work)
    await time.until(owner.started())
    handler.run().resolve('late')
    await time.pass(500)
    assert.equal(subject.store.made('find'), 0)
    owner.run().resolve('second')
    await time.until(owning)
  })
})
