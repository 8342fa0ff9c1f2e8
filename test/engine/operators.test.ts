import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { InputError, type Once, decodeOutcome, refusal } from 'onceward'
import { assertNoUnhandledRejections, charge, inMemory, inVirtualTime } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const resolution = { actor: 'ada', reason: 'the provider shows no charge' }

async function fail(once: Once): Promise<void> {
  const thrower = (): never => {
    throw new Error('no')
  }
  await assert.rejects(once.run(charge, thrower), { message: 'no' })
}

describe('peek', () => {
  test('tells an operation nobody has run as absent, and does not claim it', async () => {
    const once = inMemory()
    assert.deepEqual(await once.peek(charge), { state: 'absent' })
    assert.equal(await once.run(charge, ({ number }) => number), 1)
  })

  test('tells a running operation and its attempt, without waiting for it', async () => {
    const once = inMemory()
    await fail(once)
    const { promise, resolve } = Promise.withResolvers<string>()
    const begun = Promise.withResolvers<void>()
    const running = once.run(charge, () => (begun.resolve(), promise))
    await begun.promise
    assert.deepEqual(await once.peek(charge), { state: 'running', attempt: 2 })
    resolve('done')
    await running
  })

  test('tells an interrupted operation, its attempt, and how that ended', async () => {
    const once = inMemory()
    await fail(once)
    assert.deepEqual(await once.peek(charge), { state: 'interrupted', attempt: 1, cause: 'thrown' })
  })

  test('tells a held operation, its attempt, and how that ended', async () => {
    const once = inMemory({ interrupted: 'hold' })
    await fail(once)
    assert.deepEqual(await once.peek(charge), { state: 'held', attempt: 1, cause: 'thrown' })
  })

  test('tells a completed operation with its outcome, which decodeOutcome reads', async () => {
    const once = inMemory()
    await once.run(charge, () => ({ id: 1 }))
    const peek = await once.peek(charge)
    assert.ok(peek.state === 'completed')
    assert.deepEqual([peek.attempt, peek.resolution], [1, null])
    assert.deepEqual(decodeOutcome(peek.outcome), { state: 'value', value: { id: 1 } })
  })

  test('tells a refusal as the outcome that it is', async () => {
    const once = inMemory()
    await once.try(charge, () => {
      throw refusal(422, 'declined')
    })
    const peek = await once.peek(charge)
    assert.ok(peek.state === 'completed')
    assert.equal(decodeOutcome(peek.outcome).state, 'refusal')
  })

  test('tells an attempt whose lease lapsed as interrupted, and a remembered operation as expired', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { lease: 1_000, attemptTimeout: 2_000, ttl: '1h', remember: '1h' })
    await assert.rejects(time.until(once.run(charge, () => new Promise(() => {}))), { code: 'attempt_timeout' })
    await time.pass(2_000)
    assert.deepEqual(await time.until(once.peek(charge)), { state: 'interrupted', attempt: 1, cause: 'lapsed' })
    await time.until(once.run(charge, () => 1))
    await time.jump(3_600_000)
    assert.deepEqual(await time.until(once.peek(charge)), { state: 'expired' })
    await time.jump(3_600_000)
    assert.deepEqual(await time.until(once.peek(charge)), { state: 'absent' })
  })
})

describe('resolve', () => {
  test('with an outcome, every call has that outcome, and who decided is kept with it', async () => {
    const once = inMemory({ interrupted: 'hold' })
    await fail(once)
    assert.equal(await once.resolve(charge, { outcome: { id: 'ch_1' } }, resolution), true)
    assert.deepEqual(await once.try(charge, never), { state: 'completed', value: { id: 'ch_1' }, replayed: true })
    const peek = await once.peek(charge)
    assert.ok(peek.state === 'completed')
    assert.deepEqual(peek.resolution, resolution)
  })

  test('with undefined or bytes as the outcome, that is the value', async () => {
    const once = inMemory({ interrupted: 'hold' })
    for (const [key, outcome] of [
      ['k-2', undefined],
      ['k-3', new Uint8Array([1, 2])],
    ] as const) {
      const operation = { ...charge, key }
      await assert.rejects(once.run(operation, () => Promise.reject(new Error('no'))))
      await once.resolve(operation, { outcome }, resolution)
      assert.deepEqual(await once.run<unknown>(operation, never), outcome)
    }
  })

  test('as absent, the next call runs as if nobody had', async () => {
    const once = inMemory({ interrupted: 'hold' })
    await fail(once)
    assert.equal(await once.resolve(charge, 'absent', resolution), true)
    assert.deepEqual(await once.peek(charge), { state: 'absent' })
    assert.equal(await once.run({ ...charge, input: 'another' }, ({ number }) => number), 1)
  })

  test('an operation nobody knows, one that is running, interrupted or completed is not held: false, and nothing changes', async () => {
    const once = inMemory()
    const resolve = (): Promise<boolean> => once.resolve(charge, { outcome: 'forced' }, resolution)
    assert.equal(await resolve(), false)
    await fail(once)
    assert.equal(await resolve(), false)
    const { promise, resolve: end } = Promise.withResolvers<string>()
    const begun = Promise.withResolvers<void>()
    const running = once.run(charge, () => (begun.resolve(), promise))
    await begun.promise
    assert.equal(await resolve(), false)
    end('own')
    assert.equal(await running, 'own')
    assert.equal(await resolve(), false)
    assert.equal(await once.resolve(charge, 'absent', resolution), false)
    assert.equal(await once.run(charge, never), 'own')
  })

  test('a held operation is resolved once: the second decision changes nothing', async () => {
    const once = inMemory({ interrupted: 'hold' })
    await fail(once)
    const decisions = await Promise.all([
      once.resolve(charge, { outcome: 1 }, resolution),
      once.resolve(charge, { outcome: 2 }, { actor: 'bob', reason: 'me too' }),
    ])
    assert.deepEqual(decisions, [true, false])
    assert.equal(await once.run<unknown>(charge, never), 1)
  })

  test('an attempt that ends after its operation was resolved answers what was decided', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { interrupted: 'hold', lease: 1_000 })
    store.break('loseRequest', 'renew')
    const late = once.run(charge, () => new Promise<string>((resolve) => time.timer(5_000, () => resolve('late'))))
    await time.pass(2_000)
    assert.equal((await time.until(once.peek(charge))).state, 'held')
    assert.equal(await time.until(once.resolve(charge, { outcome: 'decided' }, resolution)), true)
    assert.equal(await time.until(late), 'decided')
  })

  for (const [what, given] of [
    ['no actor', { reason: 'because' }],
    ['an empty actor', { actor: '', reason: 'because' }],
    ['no reason', { actor: 'ada' }],
    ['an empty reason', { actor: 'ada', reason: '' }],
    ['neither', undefined],
  ] as const)
    test(`with ${what} it is refused, and nothing changes`, async () => {
      const once = inMemory({ interrupted: 'hold' })
      await fail(once)
      await assert.rejects(once.resolve(charge, 'absent', given as typeof resolution), InputError)
      assert.equal((await once.peek(charge)).state, 'held')
    })

  for (const as of [undefined, 'completed', null])
    test(`as ${JSON.stringify(as)} it is refused, and nothing changes`, async () => {
      const once = inMemory({ interrupted: 'hold' })
      await fail(once)
      await assert.rejects(once.resolve(charge, as as 'absent', resolution), InputError)
      assert.equal((await once.peek(charge)).state, 'held')
    })

  test('with an outcome that cannot be kept it is refused, and nothing changes', async () => {
    const once = inMemory({ interrupted: 'hold', outcomeBytesMax: 100 })
    await fail(once)
    for (const outcome of [10n, 'x'.repeat(100)]) await assert.rejects(once.resolve(charge, { outcome }, resolution), InputError)
    assert.equal((await once.peek(charge)).state, 'held')
  })
})
