import { strict as assert } from 'node:assert'
import type { Fence, Settlement } from '../../core/transitions.ts'
import { assertFound, assertSeen } from './assertions.ts'
import {
  claimOf,
  complete,
  fence,
  interrupt,
  outcomeOf,
  policyOf,
  release,
  renew,
  resolve,
  step,
  stepOf,
  times,
} from './fixtures.ts'
import { safety, type ContractCase, type Subject } from './subject.ts'

const { leaseMs, ttlMs, rememberMs, marginMs, afterMs } = times
const fenced: Readonly<Record<'complete' | 'interrupt' | 'renew' | 'step', (by: Fence) => Settlement>> = {
  complete: (by) => complete(by, 'late'),
  interrupt: (by) => interrupt(by),
  renew: (by) => renew(by),
  step: (by) => step(by, stepOf('late')),
}
const kinds = Object.entries(fenced)
const holdLapsed = policyOf({ interrupted: { answered: 'retry', thrown: 'retry', lapsed: 'hold' } })

/** That these settlements are refused and leave the record as it is. */
async function assertStale(subject: Subject, ...settlements: readonly Settlement[]): Promise<void> {
  const before = await subject.view()
  for (const settlement of settlements) {
    assert.equal(await subject.settle(settlement), 'stale', `${settlement.kind} is stale`)
    assertSeen(await subject.view(), before)
  }
}

async function takenOver(subject: Subject): Promise<void> {
  await subject.claim()
  subject.pass(leaseMs + afterMs)
  await subject.claim({ owner: 'owner-2' })
}

const underTheFence: readonly ContractCase[] = [
  safety('complete keeps the outcome, and the steps go', async (subject) => {
    await subject.claim()
    await subject.settled(step(), complete())
    const view = await subject.view()
    assert.equal(view?.state, 'completed')
    assert.deepEqual(view.record.steps, [])
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'completed', outcome: outcomeOf('outcome') })
  }),
  safety('complete again is accepted, and changes nothing: neither the outcome nor how long it is kept', async (subject) => {
    await subject.claim()
    await subject.settled(complete())
    subject.pass(ttlMs - marginMs)
    const before = await subject.view()
    await subject.settled(complete(), complete())
    assertSeen(await subject.view(), before)
    subject.pass(marginMs + afterMs)
    assert.equal(await subject.view(), null)
  }),
  safety('complete again is accepted as long as the operation is remembered, swept or not', async (subject) => {
    await subject.claim({ policy: policyOf({ rememberMs }) })
    await subject.settled(complete())
    subject.pass(ttlMs + afterMs)
    await subject.settled(complete())
    await subject.store.sweep(100)
    await subject.settled(complete())
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'expired' })
  }),
  safety('interrupt ends the lease at once; attempt, fingerprint and steps stay', async (subject) => {
    await subject.claim()
    await subject.settled(step(), interrupt())
    const view = await subject.view()
    assert.deepEqual([view?.state, view?.cause, view?.record.attempt], ['interrupted', 'thrown', 1])
    assert.equal(view?.record.fingerprint, claimOf().fingerprint)
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'claimed', attempt: 2, steps: [stepOf('step')] })
  }),
  safety('interrupt again is accepted, and changes nothing: nor does it keep the record longer', async (subject) => {
    await subject.claim()
    await subject.settled(interrupt())
    subject.pass(ttlMs - marginMs)
    await subject.settled(interrupt())
    subject.pass(marginMs + afterMs)
    assert.equal(await subject.view(), null)
  }),
  safety('renew makes the lease end as much later as it says, counted from now', async (subject) => {
    await subject.claim()
    subject.pass(leaseMs - marginMs)
    await subject.settled(renew(fence(), 2 * leaseMs))
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs: 2 * leaseMs })
    await subject.settled(renew())
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs })
  }),
  safety('renew puts off the expiry of a record that lapses later', async (subject) => {
    await subject.claim({ policy: policyOf({ ttlMs: leaseMs }) })
    subject.pass(leaseMs - marginMs)
    await subject.settled(renew(fence(), 10 * leaseMs))
    subject.pass(10 * leaseMs + marginMs)
    assert.equal((await subject.view())?.state, 'interrupted')
    subject.pass(leaseMs)
    assert.equal(await subject.view(), null)
  }),
  safety('step is kept with the record in the order of the steps, and renews', async (subject) => {
    await subject.claim()
    subject.pass(leaseMs - marginMs)
    await subject.settled(step(fence(), stepOf('one')), step(fence(), stepOf('two')))
    assert.deepEqual(
      (await subject.view())?.record.steps.map(({ name }) => name),
      ['one', 'two'],
    )
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs })
  }),
  safety('step again keeps its first result, and renews', async (subject) => {
    await subject.claim()
    await subject.settled(step())
    subject.pass(leaseMs - marginMs)
    await subject.settled(step(fence(), { name: 'step', result: outcomeOf('another result') }))
    assertFound(await subject.claim(), { state: 'claimed', attempt: 1, steps: [stepOf('step')] })
    subject.pass(marginMs + afterMs)
    assert.equal((await subject.view())?.state, 'running')
  }),
  safety('steps of several attempts travel together with the next claim', async (subject) => {
    await subject.claim()
    await subject.settled(step(fence(), stepOf('one')), interrupt())
    await subject.claim({ owner: 'owner-2' })
    await subject.settled(step(fence(2), stepOf('two')), interrupt(fence(2)))
    const steps = [stepOf('one'), stepOf('two')]
    assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'claimed', attempt: 3, steps })
  }),
  ...kinds.map(([kind, settlement]) =>
    safety(`${kind} is accepted after the lease lapsed, as long as nobody took over`, async (subject) => {
      await subject.claim({ policy: holdLapsed })
      subject.pass(leaseMs + afterMs)
      assert.equal((await subject.view())?.state, 'held')
      await subject.settled(settlement(fence()))
      const state = { complete: 'completed', interrupt: 'interrupted', renew: 'running', step: 'running' }[kind]
      assert.equal((await subject.view())?.state, state)
    }),
  ),
]

const underAnotherFence: readonly ContractCase[] = kinds.flatMap(([kind, settlement]) => [
  safety(`${kind} by another owner, of another attempt or of an unknown operation is stale`, async (subject) => {
    await subject.claim()
    await subject.settled(step(), interrupt())
    await subject.claim({ owner: 'owner-2' })
    const fences = [fence(2, 'owner-1'), fence(1, 'owner-2'), fence(3, 'owner-2'), fence(1), fence(2, 'OWNER-2')]
    await assertStale(subject, ...fences.map(settlement))
    const unknown = claimOf({ key: 'unknown' }).id
    assert.equal(await subject.settle(settlement(fence(1, 'owner-1', unknown))), 'stale')
    assert.equal(await subject.view(unknown), null)
    await subject.settled(complete(fence(2)))
  }),
  safety(`${kind} after another attempt took over is stale, whatever became of that one`, async (subject) => {
    await takenOver(subject)
    await assertStale(subject, settlement(fence()))
    await subject.settled(interrupt(fence(2)))
    await assertStale(subject, settlement(fence()))
    await subject.claim({ owner: 'owner-3' })
    await subject.settled(complete(fence(3)))
    await assertStale(subject, settlement(fence()), settlement(fence(2)))
  }),
  safety(`${kind} after the record expired is stale, also when the operation runs anew`, async (subject) => {
    await subject.claim()
    subject.pass(leaseMs + ttlMs + afterMs)
    await assertStale(subject, settlement(fence()))
    await subject.claim({ owner: 'owner-2' })
    await assertStale(subject, settlement(fence()))
  }),
  safety(`${kind} after the attempt ended otherwise is stale`, async (subject) => {
    await subject.claim()
    await subject.settled(interrupt(fence(), 'answered'))
    await assertStale(subject, settlement(fence()))
    await subject.claim({ owner: 'owner-2' })
    await subject.settled(complete(fence(2), 'late'))
    if (kind !== 'complete') await assertStale(subject, settlement(fence(2)))
  }),
])

const released: readonly ContractCase[] = [
  safety('release of a first attempt leaves nothing', async (subject) => {
    await subject.claim()
    await subject.settled(release())
    assert.equal(await subject.view(), null)
    assert.equal(await subject.settle(complete()), 'stale')
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'claimed', attempt: 1, steps: [] })
  }),
  safety('release of an operation without a record is accepted', async (subject) => {
    await subject.settled(release())
    assert.equal(await subject.view(), null)
  }),
  safety('release of a later attempt takes its fence away and leaves the attempts before it', async (subject) => {
    await subject.claim({ policy: policyOf({ attemptsMax: 2 }) })
    await subject.settled(step(), interrupt())
    await subject.claim({ owner: 'owner-2' })
    await subject.settled(release('owner-2'))
    assert.deepEqual([(await subject.view())?.state, (await subject.view())?.record.attempt], ['interrupted', 1])
    for (const attempt of [1, 2]) await assertStale(subject, complete(fence(attempt)), renew(fence(attempt)))
    assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'claimed', attempt: 2, steps: [stepOf('step')] })
    await subject.settled(interrupt(fence(2, 'owner-3')))
    assertFound(await subject.claim({ owner: 'owner-4' }), { state: 'held', attempt: 2, cause: 'thrown' })
  }),
  safety('release by anyone but the present owner is stale, and changes nothing', async (subject) => {
    await takenOver(subject)
    await assertStale(subject, release('owner-1'), release('owner-9'), release('OWNER-2'))
    await subject.settled(complete(fence(2)))
  }),
  safety('release after the attempt was settled is stale, and changes nothing', async (subject) => {
    await subject.claim()
    await subject.settled(interrupt())
    await assertStale(subject, release())
    await subject.claim({ owner: 'owner-2' })
    await subject.settled(complete(fence(2)))
    await assertStale(subject, release('owner-2'))
  }),
  safety('release after the lease lapsed is accepted, as long as nobody took over', async (subject) => {
    await subject.claim({ policy: holdLapsed })
    subject.pass(leaseMs + afterMs)
    await subject.settled(release())
    assert.equal(await subject.view(), null)
  }),
]

const resolved: readonly ContractCase[] = [
  ...(['interrupt', 'lapse'] as const).map((end) =>
    safety(`resolve gives an operation held after its ${end} an outcome, and takes the fence away`, async (subject) => {
      await subject.claim({ policy: policyOf({ attemptsMax: 1 }) })
      if (end === 'interrupt') await subject.settled(interrupt())
      else subject.pass(leaseMs + afterMs)
      await subject.settled(resolve(outcomeOf('resolved')))
      const view = await subject.view()
      assert.deepEqual(view && { ...view.record.resolution }, { actor: 'operator', reason: 'looked it up' })
      await assertStale(subject, ...kinds.map(([, settlement]) => settlement(fence())), release())
      assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'completed', outcome: outcomeOf('resolved') })
      subject.pass(ttlMs + afterMs)
      assert.equal(await subject.view(), null)
    }),
  ),
  safety('resolve as absent leaves nothing, and a late attempt is stale', async (subject) => {
    await subject.claim({ policy: policyOf({ attemptsMax: 1 }) })
    subject.pass(leaseMs + afterMs)
    await subject.settled(resolve(null))
    assert.equal(await subject.view(), null)
    await assertStale(subject, complete(), renew())
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'claimed', attempt: 1, steps: [] })
  }),
  safety('resolve of an operation that is not held is stale, and changes nothing', async (subject) => {
    const resolves = [resolve(outcomeOf('resolved')), resolve(null)]
    await assertStale(subject, ...resolves)
    await subject.claim()
    await assertStale(subject, ...resolves)
    await subject.settled(interrupt())
    await assertStale(subject, ...resolves)
    await subject.claim({ owner: 'owner-2' })
    await subject.settled(complete(fence(2)))
    await assertStale(subject, ...resolves)
  }),
]

/** The table of what a settlement changes, row by row. */
export const settlementCases: readonly ContractCase[] = [...underTheFence, ...underAnotherFence, ...released, ...resolved]
