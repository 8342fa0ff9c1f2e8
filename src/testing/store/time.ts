import { strict as assert } from 'node:assert'
import { limits } from '../../core/limits.ts'
import { assertFound } from './assertions.ts'
import { complete, fence, interrupt, outcomeOf, policyOf, renew, times } from './fixtures.ts'
import { courtesy, safety, type ContractCase, type Subject } from './subject.ts'

const { leaseMs, ttlMs, rememberMs, marginMs, afterMs } = times

/** What the operation amounts to just before and just after `ms` have passed. */
async function statesAround(subject: Subject, ms: number): Promise<readonly (string | undefined)[]> {
  subject.pass(ms - marginMs)
  const before = await subject.view()
  subject.pass(marginMs + afterMs)
  return [before?.state, (await subject.view())?.state]
}

/** Time by the store's clock, which the suite moves. */
export const timeCases: readonly ContractCase[] = [
  safety('a lease ends when its time has passed by the clock of the store, and not before', async (subject) => {
    await subject.claim()
    assert.deepEqual(await statesAround(subject, leaseMs), ['running', 'interrupted'])
    assert.equal((await subject.view())?.cause, 'lapsed')
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'claimed', attempt: 2, steps: [] })
    await subject.settled(renew(fence(2), 3 * leaseMs))
    assert.deepEqual(await statesAround(subject, 3 * leaseMs), ['running', 'interrupted'])
  }),
  safety('every instance on a database judges by the same clock', async (subject) => {
    const stores = await subject.pair()
    await subject.claim()
    for (const state of ['running', 'interrupted']) {
      for (const store of stores) assert.equal((await store.find([fence().id]))[0]?.state, state)
      subject.pass(leaseMs + afterMs)
    }
  }),
  safety('an outcome is kept for the ttl from completion, then remembered, then forgotten', async (subject) => {
    await subject.claim({ policy: policyOf({ rememberMs }) })
    subject.pass(leaseMs + afterMs)
    await subject.settled(complete())
    assert.deepEqual(await statesAround(subject, ttlMs), ['completed', 'expired'])
    assert.deepEqual(await statesAround(subject, rememberMs), ['expired', undefined])
  }),
  safety('what was interrupted is kept for the ttl from its end, and what lapsed for the ttl from its lapse', async (subject) => {
    await subject.claim()
    await subject.settled(interrupt())
    assert.deepEqual(await statesAround(subject, ttlMs), ['interrupted', undefined])
    await subject.claim()
    subject.pass(leaseMs + afterMs)
    assert.deepEqual(await statesAround(subject, ttlMs), ['interrupted', undefined])
  }),
  courtesy('the longest lease, ttl and remembering, ten years each, are kept to', async (subject) => {
    const longestMs = limits.durationMsMax
    await subject.claim({ leaseMs: longestMs, policy: policyOf({ ttlMs: longestMs, rememberMs: longestMs }) })
    subject.pass(longestMs - marginMs)
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs: marginMs })
    await subject.settled(complete())
    assert.deepEqual(await statesAround(subject, longestMs), ['completed', 'expired'])
    assert.deepEqual(await statesAround(subject, longestMs), ['expired', undefined])
  }),
  courtesy('a record tells when it was created, when it ended and from when on it counts as absent', async (subject) => {
    await subject.claim()
    subject.pass(leaseMs - marginMs)
    await subject.settled(complete(fence(), 'outcome'))
    const record = (await subject.view())?.record
    assert.ok(record && record.endedAt !== null && record.expiresAt !== null)
    assert.ok(Math.abs(record.endedAt - record.createdAt - (leaseMs - marginMs)) < marginMs / 2)
    assert.equal(record.expiresAt - record.endedAt, ttlMs)
    assert.ok(record.leaseUntil <= record.endedAt, 'its lease has ended')
    assertFound(await subject.claim(), { state: 'completed', outcome: outcomeOf('outcome') })
  }),
]
