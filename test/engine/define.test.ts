import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refusal } from 'onceward'
import { assertNoUnhandledRejections, inMemory, inVirtualTime } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const call = { scope: 'tenant-1', key: 'k-1' } as const

describe('a defined operation', () => {
  test('hands its input to its handler, and tells a value and whether it was a replay', async () => {
    const once = inMemory()
    const double = once.operation('double', (attempt, input: { n: number }) => ({ attempt: attempt.number, twice: input.n * 2 }))
    assert.deepEqual(await double(call, { n: 4 }), { value: { attempt: 1, twice: 8 }, replayed: false })
    assert.deepEqual(await double(call, { n: 4 }), { value: { attempt: 1, twice: 8 }, replayed: true })
  })

  test('is the same operation as a run by its name, scope, key and input', async () => {
    const once = inMemory()
    const double = once.operation('double', (_, n: number) => n * 2)
    await double(call, 4)
    assert.equal(await once.run({ ...call, name: 'double', input: 4 }, () => assert.fail('it ran')), 8)
  })

  test('refuses its key with another input', async () => {
    const once = inMemory()
    const double = once.operation('double', (_, n: number) => n * 2)
    await double(call, 4)
    await assert.rejects(double(call, 5), { code: 'mismatch' })
  })

  test('throws its refusals, first and again', async () => {
    const once = inMemory()
    const refuse = once.operation('refuse', () => {
      throw refusal(409, 'no')
    })
    await assert.rejects(refuse(call, undefined), { code: 'refused', status: 409 })
    await assert.rejects(refuse(call, undefined), { code: 'refused', status: 409 })
  })

  test('has options of its own, which stand over those of the instance', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '9h', attemptsMax: 5 })
    const fail = once.operation('fail', { ttl: '1h', attemptsMax: 1 }, (_, input: string) => {
      if (input === 'fail') throw new Error('no')
      return input
    })
    await assert.rejects(time.until(fail(call, 'fail')), { message: 'no' })
    await assert.rejects(time.until(fail(call, 'fail')), { code: 'held' })
    const other = { ...call, key: 'k-2' }
    await time.until(fail(other, 'go'))
    await time.jump(3_600_000)
    assert.equal((await time.until(fail(other, 'go'))).replayed, false)
  })

  test('waits as long as its call says, or else as its options say', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const slow = once.operation(
      'slow',
      { wait: 100 },
      () => new Promise<number>((resolve) => time.timer(5_000, () => resolve(1))),
    )
    const first = slow(call, undefined)
    await time.turn()
    await assert.rejects(time.until(slow(call, undefined)), { code: 'busy' })
    assert.deepEqual(await time.until(slow({ ...call, wait: '10s' }, undefined)), { value: 1, replayed: true })
    await first
  })

  test('is rejected with the reason of its call’s signal', async () => {
    const once = inMemory()
    const never = once.operation('never', () => assert.fail('it ran'))
    const reason = new Error('gone')
    await assert.rejects(never({ ...call, signal: AbortSignal.abort(reason) }, undefined), reason)
  })
})
