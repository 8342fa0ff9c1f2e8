import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StoreOpenError, StoreUnavailableError, limits } from 'onceward'
import { assertNoUnhandledRejections, charge, inVirtualTime } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')

describe('a store that cannot be opened', () => {
  test('is told by open() with its own error, and open() may be called again', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    const error = new StoreOpenError('the directory is read-only: choose another')
    store.spoil('open', error)
    await assert.rejects(time.until(once.open()), error)
    await time.until(once.open())
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    assert.equal(store.made('open'), 2)
  })

  test('is tried again by the first call, which runs as soon as it opens', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.spoil('open', new StoreOpenError('locked'))
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
  })

  test('fails a call within the bound, with its error as the cause; later it works without a restart', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break(new StoreOpenError('the directory is read-only: choose another'), 'open')
    const askedAt = time.now
    const error = await time.until(once.run(charge, never)).catch((caught: unknown) => caught)
    assert.ok(error instanceof StoreUnavailableError)
    assert.ok(error.cause instanceof StoreOpenError)
    assert.match(error.message, /the directory is read-only/)
    assert.ok(time.now - askedAt <= limits.claimRetryMs + limits.retryMsMax)
    store.mend()
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
  })

  test('is opened once, by however many calls at once', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    const calls = Array.from({ length: 300 }, (_, index) => once.run({ ...charge, key: `k-${index}` }, () => index))
    await time.until(Promise.all([once.open(), once.peek(charge), ...calls]))
    assert.equal(store.made('open'), 1)
  })

  test('and never answers fails calls within its time; the next call opens it anew', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { storeTimeout: '3s' })
    store.spoil('open', 'hang')
    const askedAt = time.now
    await assert.rejects(time.until(once.run(charge, never)), StoreUnavailableError)
    assert.ok(time.now - askedAt <= 3_000, `${time.now - askedAt} ms`)
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
  })

  test('and never answers does not keep close() for ever', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { storeTimeout: '3s' })
    store.break('hang', 'open')
    const opening = once.open().catch(({ message }) => message)
    await time.until(once.close(), 10_000)
    assert.match(await opening, /no answer within 3000 ms/)
  })

  test('and takes long is waited for by the calls that follow, each for its time', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.spoil('open', { replyMs: 4_000 })
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    assert.equal(store.made('open'), 1)
  })
})

describe('peek', () => {
  test('rejects with the error of a store that is away', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time)
    store.break('loseRequest', 'find')
    await assert.rejects(time.until(once.peek(charge)), { message: /connection was lost/ })
  })

  test('rejects once the time of a store that never answers is up', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { storeTimeout: '3s' })
    store.break('hang', 'find')
    const askedAt = time.now
    await assert.rejects(time.until(once.peek(charge)), {
      code: 'store_unavailable',
      message: /no answer within 3000 ms.*nothing was changed/,
    })
    assert.equal(time.now - askedAt, 3_000)
  })
})

describe('resolve', () => {
  test('rejects with the error of a store that is away, and may be repeated', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { interrupted: 'hold' })
    await assert.rejects(time.until(once.run(charge, () => Promise.reject(new Error('no')))), { message: 'no' })
    store.spoil('settle', 'loseRequest')
    const decide = (): Promise<boolean> => once.resolve(charge, { outcome: 'decided' }, { actor: 'ada', reason: 'looked' })
    await assert.rejects(time.until(decide()), { code: 'store_unavailable', message: /connection was lost.*resolved is unknown/ })
    assert.equal(await time.until(decide()), true)
  })
})

describe('sweeping', () => {
  test('goes on after it failed, and disturbs nobody', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { ttl: 500 })
    store.break('loseRequest', 'sweep')
    assert.equal(await time.until(once.run(charge, () => 'done')), 'done')
    await time.pass(5_000)
    const failed = store.made('sweep')
    assert.ok(failed >= 4 && failed <= 5, `${failed} sweeps`)
    store.mend()
    await time.pass(1_000)
    assert.deepEqual(await store.inner.list({}, 10), { records: [], next: null })
  })

  test('removes what has expired, and goes on at once while there is more', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { ttl: 500 })
    const keys = Array.from({ length: limits.sweepBatch * 3 }, (_, index) => `k-${index}`)
    await time.until(Promise.all(keys.map((key) => once.run({ ...charge, key }, () => key))))
    await time.pass(limits.sweepMs + limits.sweepFullMs * 4)
    assert.ok(store.made('sweep') >= 3)
    let left = 0
    await store.purge({}, 10_000).then((purged) => (left = purged))
    assert.equal(left, 0)
  })
})
