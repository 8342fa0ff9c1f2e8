import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Once, Reservation, ReserveRequest } from 'onceward'
import { assertNoUnhandledRejections, faultyMemory, inVirtualTime, virtualMemory, type Subject } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const payout = { scope: 'tenant-1', name: 'payout', key: 'k-1', input: { amount: 5 } } as const
const never = (): never => assert.fail('it ran')

/** Two instances with a way of their own to one store. */
function pair(time: VirtualTime): [Subject, Subject] {
  const shared = virtualMemory(time)
  const subject = (): Subject => inVirtualTime(time, { store: faultyMemory(time, shared) })
  return [subject(), subject()]
}

async function reserved(time: VirtualTime, once: Once, request: Partial<ReserveRequest> = {}): Promise<Reservation> {
  const found = await time.until(once.reserve({ ...payout, ...request }))
  assert.equal(found.state, 'reserved')
  return found
}

describe('a reservation', () => {
  test('is committed by its token, from another process, and its outcome is replayed', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const { token } = await reserved(time, first.once)
    assert.equal(typeof token, 'string')
    await time.pass(60_000) // far longer than a lease that nobody renews
    assert.equal((await time.until(second.once.reserve(payout))).state, 'busy')
    await time.until(second.once.commit(token, { paid: 5 }))
    assert.deepEqual(await time.until(first.once.run(payout, never)), { paid: 5 })
    assert.deepEqual(await time.until(second.once.reserve(payout)), { state: 'completed', value: { paid: 5 }, replayed: true })
  })

  test('committed again with the same token is accepted, and the first outcome stands', async () => {
    const time = new VirtualTime()
    const [{ once }] = pair(time)
    const reservation = await reserved(time, once)
    await time.until(reservation.commit('first'))
    await time.until(reservation.commit('again'))
    assert.equal(await time.until(once.run(payout, never)), 'first')
  })

  test('keeps others out while it stands: busy at once, or after the wait they ask for', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const { token } = await reserved(time, first.once)
    assert.equal((await time.until(second.once.reserve(payout))).state, 'busy')
    assert.equal((await time.until(second.once.try({ ...payout, wait: 50 }, never))).state, 'busy')
    assert.deepEqual(await time.until(second.once.reserve({ ...payout, input: 'other' })), { state: 'mismatch' })
    const waiting = second.once.reserve({ ...payout, wait: '5s' })
    await time.pass(100)
    await time.until(first.once.commit(token, 'paid'))
    assert.deepEqual(await time.until(waiting), { state: 'completed', value: 'paid', replayed: true })
  })

  test('that was released leaves nothing, and a commit with its token is refused', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const reservation = await reserved(time, first.once)
    await time.until(reservation.release())
    assert.deepEqual(await time.until(second.once.peek(payout)), { state: 'absent' })
    await assert.rejects(time.until(reservation.commit('late')), { code: 'lease_lost', message: /nothing was recorded/ })
    assert.equal(await time.until(second.once.run(payout, () => 'anew')), 'anew')
  })

  test('that lapsed is committed all the same as long as nobody has taken over', async () => {
    const time = new VirtualTime()
    const [{ once }] = pair(time)
    const reservation = await reserved(time, once, { hold: '1m' })
    await time.pass(70_000)
    await time.until(reservation.commit('late'))
    assert.equal(await time.until(once.run(payout, never)), 'late')
  })

  test('that lapsed and was taken over can be neither committed nor released', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const reservation = await reserved(time, first.once, { hold: '1m' })
    await time.pass(70_000)
    const taken = await reserved(time, second.once)
    await assert.rejects(time.until(reservation.commit('late')), { code: 'lease_lost' })
    await assert.rejects(time.until(reservation.release()), { code: 'lease_lost' })
    await time.until(taken.commit('in time'))
    assert.equal(await time.until(first.once.run(payout, never)), 'in time')
  })

  test('holds where the policy is to hold, when it lapses', async () => {
    const time = new VirtualTime()
    const [{ once }] = pair(time)
    await reserved(time, once, { hold: '1m', interrupted: 'hold' })
    await time.pass(70_000)
    assert.deepEqual(await time.until(once.reserve(payout)), { state: 'held', attempt: 1, cause: 'lapsed' })
  })

  test('whose commit gets no answer may be recorded still, and is committed again with the same token', async () => {
    const time = new VirtualTime()
    const [{ once, store }] = pair(time)
    const { token } = await reserved(time, once)
    store.break('loseReply', 'settle')
    await assert.rejects(time.until(once.commit(token, 'paid')), {
      code: 'store_unavailable',
      message: /do the same again with the same token/,
    })
    store.mend()
    await time.until(once.commit(token, 'paid'))
    assert.equal(await time.until(once.run(payout, never)), 'paid')
  })

  test('whose claim gets no answer reserves nothing', async () => {
    const time = new VirtualTime()
    const [{ once, store }] = pair(time)
    store.break('loseReply', 'claim')
    await assert.rejects(time.until(once.reserve(payout)), { code: 'store_unavailable' })
    store.mend()
    await time.pass(10_000)
    assert.deepEqual(await time.until(once.peek(payout)), { state: 'absent' })
  })

  test('with bad input is told so, and records nothing', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { outcomeBytesMax: 50 })
    const { token } = await reserved(time, once)
    for (const wrong of ['', 'or1', `${token}x.y`, token.replace('or1', 'or2'), 7, undefined])
      await assert.rejects(time.until(once.commit(wrong as never, 1)), {
        code: 'input_invalid',
        message: /no token of a reservation/,
      })
    await assert.rejects(time.until(once.release('nothing')), { code: 'input_invalid' })
    await assert.rejects(time.until(once.commit(token, 7n)), { message: /cannot be serialised, and was not recorded/ })
    await assert.rejects(time.until(once.commit(token, 'x'.repeat(60))), { message: /at most 50 are kept, and was not recorded/ })
    await assert.rejects(time.until(once.reserve({ ...payout, hold: 'long' as never })), {
      code: 'options_invalid',
      message: /^hold is 'long'/,
    })
    await assert.rejects(time.until(once.commit(token.replace(/[0-9a-f]{8}/, '00000000'), 1)), { code: 'lease_lost' })
    await time.until(once.commit(token, 'paid'))
  })
})
