import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { stateAt, type OperationRecord } from '../../src/core/record.ts'
import { decideClaim, decideSettlement, type Claim, type Settlement } from '../../src/core/transitions.ts'
import { claimed, claimOf, fenceOf, leaseMs, outcomeOf, policyOf, settled, start, stepOf, ttlMs } from './support.ts'

const hold = { answered: 'hold', thrown: 'hold', lapsed: 'hold' } as const
const lapse = start + leaseMs

function complete(record: OperationRecord, now: number, text = 'done'): OperationRecord {
  return settled(record, { ...fenceOf(record), kind: 'complete', outcome: outcomeOf(text) }, now)
}

function interrupt(record: OperationRecord, now: number, cause: 'answered' | 'thrown' = 'thrown'): OperationRecord {
  return settled(record, { ...fenceOf(record), kind: 'interrupt', cause }, now)
}

/** What a claim by another owner is answered; it must leave the very record it found. */
function answerTo(record: OperationRecord, changes: Partial<Claim>, now: number): unknown {
  const decision = decideClaim(record, claimOf({ owner: 'B', ...changes }), now)
  assert.equal(decision.record, record, 'the record is not written')
  return decision.result
}

function assertStale(record: OperationRecord | null, settlement: Settlement, now: number): void {
  assert.deepEqual(decideSettlement(record, settlement, now), { result: 'stale', record })
}

function assertAccepted(record: OperationRecord, settlement: Settlement, now: number): void {
  assert.equal(decideSettlement(record, settlement, now).record, record, 'the record is not written')
  assert.equal(decideSettlement(record, settlement, now).result, 'ok')
}

const tombstone = (): OperationRecord => ({
  ...complete(claimed({ policy: policyOf({ rememberMs: 50 }) }), start),
  state: 'tombstone',
  outcome: null,
})

describe('a claim', () => {
  test('that finds no record is granted attempt 1 under its own policy and lease', () => {
    const { result, record } = decideClaim(null, claimOf(), start)
    const { leaseMs: _, ...kept } = claimOf()
    assert.deepEqual(result, { state: 'claimed', attempt: 1, generation: 'A', steps: [] })
    assert.deepEqual(record, {
      ...kept,
      state: 'running',
      attempt: 1,
      leaseUntil: lapse,
      expiresAt: lapse + ttlMs,
      createdAt: start,
      generation: 'A',
      cause: null,
      endedAt: null,
      outcome: null,
      steps: [],
      resolution: null,
    })
  })

  test('that finds a record past its ttl is granted attempt 1, also with another fingerprint and policy', () => {
    const old = complete(claimed(), start + 1)
    const changes = { owner: 'B', fingerprint: 'f2', policy: policyOf({ ttlMs: 5 }) }
    const { result, record } = decideClaim(old, claimOf(changes), start + 1 + ttlMs)
    assert.deepEqual(result, { state: 'claimed', attempt: 1, generation: 'B', steps: [] })
    assert.deepEqual(record, claimed(changes, start + 1 + ttlMs))
  })

  test('that finds a live lease is busy until it ends', () => {
    assert.deepEqual(answerTo(claimed(), {}, start + 40), { state: 'busy', leaseMs: 60 })
    assert.deepEqual(answerTo(claimed(), {}, lapse - 1), { state: 'busy', leaseMs: 1 })
  })

  test('that comes late, under the owner of an attempt that was interrupted, starts no attempt that nobody would run', () => {
    const interrupted = interrupt(claimed(), start + 1)
    const { result, record } = decideClaim(interrupted, claimOf(), start + 2)
    assert.deepEqual(result, { state: 'busy', leaseMs: 0 })
    assert.equal(record, interrupted, 'the record is not written')
  })

  test('of the owner itself is granted the same attempt again, with its steps and a new lease', () => {
    const record = settled(claimed(), { ...fenceOf(claimed()), kind: 'step', step: stepOf('pay', 'paid'), leaseMs }, start)
    const { result, record: again } = decideClaim(record, claimOf(), start + 40)
    assert.deepEqual(result, { state: 'claimed', attempt: 1, generation: 'A', steps: [stepOf('pay', 'paid')] })
    assert.deepEqual(again, { ...record, leaseUntil: lapse + 40, expiresAt: lapse + 40 + ttlMs })
  })

  test('of the owner itself is granted the same attempt also after the lease has lapsed, if nobody took over', () => {
    for (const interrupted of [policyOf().interrupted, hold]) {
      const { result } = decideClaim(claimed({ policy: policyOf({ interrupted }) }), claimOf(), lapse + 1)
      assert.deepEqual(result, { state: 'claimed', attempt: 1, generation: 'A', steps: [] })
    }
  })

  test('that finds a lapsed lease is granted the next attempt, with the steps kept so far and under the stored policy', () => {
    const step = stepOf('pay', 'paid')
    const record = settled(claimed(), { ...fenceOf(claimed()), kind: 'step', step, leaseMs }, start)
    const { result, record: next } = decideClaim(record, claimOf({ owner: 'B', policy: policyOf({ ttlMs: 1 }) }), lapse)
    assert.deepEqual(result, { state: 'claimed', attempt: 2, generation: 'A', steps: [step] })
    assert.deepEqual(next, { ...record, owner: 'B', attempt: 2, leaseUntil: lapse + leaseMs, expiresAt: lapse + leaseMs + ttlMs })
  })

  test('that finds an interrupted attempt is granted the next attempt at once', () => {
    for (const cause of ['answered', 'thrown'] as const) {
      const { result, record } = decideClaim(interrupt(claimed(), start + 1, cause), claimOf({ owner: 'B' }), start + 1)
      assert.deepEqual(result, { state: 'claimed', attempt: 2, generation: 'A', steps: [] })
      assert.deepEqual(record && [record.state, record.owner, record.cause, record.endedAt], ['running', 'B', null, null])
    }
  })

  test('that finds an interrupted or lapsed attempt under the policy hold is told that it is held, and why', () => {
    const record = claimed({ policy: policyOf({ interrupted: hold }) })
    assert.deepEqual(answerTo(record, {}, lapse), { state: 'held', attempt: 1, cause: 'lapsed' })
    assert.deepEqual(answerTo(interrupt(record, start), {}, start), { state: 'held', attempt: 1, cause: 'thrown' })
    assert.deepEqual(answerTo(interrupt(record, start, 'answered'), {}, start), { state: 'held', attempt: 1, cause: 'answered' })
  })

  test('that finds attemptsMax attempts made is told that the operation is held', () => {
    const policy = policyOf({ attemptsMax: 2 })
    const second = claimed({ owner: 'B' }, lapse, claimed({ policy }))
    assert.deepEqual(answerTo(second, { owner: 'C' }, lapse + leaseMs), { state: 'held', attempt: 2, cause: 'lapsed' })
    assert.deepEqual(answerTo(interrupt(second, lapse), { owner: 'C' }, lapse), { state: 'held', attempt: 2, cause: 'thrown' })
  })

  test('that finds a completed record is handed its outcome until the ttl has passed since completion', () => {
    const record = complete(claimed(), start + 7)
    const answer = { state: 'completed', outcome: outcomeOf('done') }
    assert.deepEqual(answerTo(record, {}, start + 7), answer)
    assert.deepEqual(answerTo(record, {}, start + 7 + ttlMs - 1), answer)
    assert.deepEqual(answerTo(record, { owner: 'A' }, start + 7), answer, 'the owner too')
  })

  test('that finds a tombstone, or an outcome past its ttl that is still remembered, is told that it has expired', () => {
    const unswept = complete(claimed({ policy: policyOf({ rememberMs: 50 }) }), start)
    for (const record of [unswept, tombstone()]) {
      assert.deepEqual(answerTo(record, {}, start + ttlMs), { state: 'expired' })
      assert.deepEqual(answerTo(record, {}, start + ttlMs + 49), { state: 'expired' })
      assert.equal(decideClaim(record, claimOf({ owner: 'B' }), start + ttlMs + 50).result.state, 'claimed')
    }
  })

  test('with another fingerprint is a mismatch in every state, and changes nothing', () => {
    const held = interrupt(claimed({ policy: policyOf({ interrupted: hold }) }), start)
    const found = [claimed(), interrupt(claimed(), start), held, complete(claimed(), start)]
    for (const record of found) assert.deepEqual(answerTo(record, { fingerprint: 'f2' }, start), { state: 'mismatch' })
    assert.deepEqual(answerTo(claimed(), { fingerprint: 'f2' }, lapse), { state: 'mismatch' }, 'lapsed')
    assert.deepEqual(answerTo(tombstone(), { fingerprint: 'f2' }, start + ttlMs), { state: 'mismatch' })
    assert.deepEqual(answerTo(claimed(), { fingerprint: 'f2', owner: 'A' }, start), { state: 'mismatch' }, 'of the owner itself')
  })

  test('that finds a completed record without an outcome says that the store is damaged', () => {
    assert.throws(() => decideClaim({ ...complete(claimed(), start), outcome: null }, claimOf(), start), /damaged/)
  })
})

describe('complete', () => {
  test('under the present fence keeps the outcome for ttl and remember from now on, and drops the steps', () => {
    const record = settled(
      claimed({ policy: policyOf({ rememberMs: 50 }) }),
      { ...fenceOf(claimed()), kind: 'step', step: stepOf('pay', 'paid'), leaseMs },
      start,
    )
    const ends = { state: 'completed', leaseUntil: start + 9, endedAt: start + 9, expiresAt: start + 9 + ttlMs + 50 }
    assert.deepEqual(complete(record, start + 9), { ...record, ...ends, outcome: outcomeOf('done'), steps: [] })
  })

  test('is accepted after the lease has lapsed, if nobody took over', () => {
    assert.equal(complete(claimed(), lapse + 1).state, 'completed')
    assert.equal(complete(claimed({ policy: policyOf({ interrupted: hold }) }), lapse + 1).state, 'completed', 'held meanwhile')
  })

  test('again is accepted and keeps the first outcome and its time', () => {
    const record = complete(claimed(), start)
    assertAccepted(record, { ...fenceOf(record), kind: 'complete', outcome: outcomeOf('done') }, start + 5)
    assertAccepted(record, { ...fenceOf(record), kind: 'complete', outcome: outcomeOf('other') }, start + 5)
  })

  test('again is accepted also where a sweep has left only a tombstone', () => {
    assertAccepted(tombstone(), { ...fenceOf(tombstone()), kind: 'complete', outcome: outcomeOf('done') }, start + ttlMs)
  })

  test('after the same attempt was interrupted is stale', () => {
    const record = interrupt(claimed(), start)
    assertStale(record, { ...fenceOf(record), kind: 'complete', outcome: outcomeOf('done') }, start)
  })
})

describe('interrupt', () => {
  test('under the present fence ends the lease at once and keeps attempt, fingerprint and steps; it expires ttl later', () => {
    const record = settled(claimed(), { ...fenceOf(claimed()), kind: 'step', step: stepOf('pay', 'paid'), leaseMs }, start)
    const ends = {
      state: 'interrupted',
      cause: 'answered',
      leaseUntil: start + 3,
      endedAt: start + 3,
      expiresAt: start + 3 + ttlMs,
    }
    assert.deepEqual(interrupt(record, start + 3, 'answered'), { ...record, ...ends })
    assert.equal(stateAt(interrupt(record, start + 3), start + 3 + ttlMs), 'absent')
  })

  test('of a cause that the policy holds, or of the last attempt, leaves a held record that never expires', () => {
    const byCause = claimed({ policy: policyOf({ interrupted: { ...policyOf().interrupted, thrown: 'hold' } }) })
    const byNumber = claimed({ policy: policyOf({ attemptsMax: 1 }) })
    for (const record of [byCause, byNumber]) {
      const held = interrupt(record, start)
      assert.deepEqual([held.state, held.expiresAt, stateAt(held, Number.MAX_SAFE_INTEGER)], ['held', null, 'held'])
    }
    assert.equal(interrupt(byCause, start, 'answered').state, 'interrupted')
  })

  test('again is accepted and changes nothing; with another cause, or after completion, it is stale', () => {
    const record = interrupt(claimed(), start)
    assertAccepted(record, { ...fenceOf(record), kind: 'interrupt', cause: 'thrown' }, start + 5)
    assertStale(record, { ...fenceOf(record), kind: 'interrupt', cause: 'answered' }, start + 5)
    const done = complete(claimed(), start)
    assertStale(done, { ...fenceOf(done), kind: 'interrupt', cause: 'thrown' }, start)
  })
})

describe('renew', () => {
  test('under the present fence makes the lease longer, also after it lapsed, if nobody took over', () => {
    for (const now of [start + 50, lapse + 50]) {
      const renewed = settled(claimed(), { ...fenceOf(claimed()), kind: 'renew', leaseMs: 300 }, now)
      assert.deepEqual(renewed, { ...claimed(), leaseUntil: now + 300, expiresAt: now + 300 + ttlMs })
    }
  })

  test('of an attempt that has ended is stale', () => {
    for (const record of [interrupt(claimed(), start), complete(claimed(), start)])
      assertStale(record, { ...fenceOf(record), kind: 'renew', leaseMs }, start)
  })
})

describe('step', () => {
  test('under the present fence is kept in order, and renews', () => {
    const fence = fenceOf(claimed())
    const one = settled(claimed(), { ...fence, kind: 'step', step: stepOf('pay', 'paid'), leaseMs }, start + 10)
    const two = settled(one, { ...fence, kind: 'step', step: stepOf('mail', 'sent'), leaseMs }, start + 20)
    assert.deepEqual(two.steps, [stepOf('pay', 'paid'), stepOf('mail', 'sent')])
    assert.equal(two.leaseUntil, start + 20 + leaseMs)
  })

  test('of the same name again keeps the first result', () => {
    const fence = fenceOf(claimed())
    const one = settled(claimed(), { ...fence, kind: 'step', step: stepOf('pay', 'paid'), leaseMs }, start)
    const two = settled(one, { ...fence, kind: 'step', step: stepOf('pay', 'other'), leaseMs }, start)
    assert.deepEqual(two.steps, [stepOf('pay', 'paid')])
  })

  test('of an attempt that has ended is stale and not kept', () => {
    const record = interrupt(claimed(), start)
    assertStale(record, { ...fenceOf(record), kind: 'step', step: stepOf('pay', 'paid'), leaseMs }, start)
  })
})

describe('release', () => {
  test('of a first attempt leaves nothing', () => {
    const { id, owner } = claimOf()
    assert.deepEqual(decideSettlement(claimed(), { kind: 'release', id, owner }, start), { result: 'ok', record: null })
  })

  test('of a later attempt leaves the operation interrupted, as it was found, with its steps and the earlier attempt number', () => {
    const step = stepOf('pay', 'paid')
    const first = settled(claimed(), { ...fenceOf(claimed()), kind: 'step', step, leaseMs }, start)
    const second = claimed({ owner: 'B' }, lapse, first)
    const released = settled(second, { kind: 'release', id: second.id, owner: 'B' }, lapse + 1)
    assert.deepEqual([released.state, released.attempt, released.steps], ['interrupted', 1, [step]])
    assert.equal(stateAt(released, lapse + ttlMs), 'interrupted')
    assert.equal(stateAt(released, lapse + 1 + ttlMs), 'absent')
    assert.deepEqual(decideClaim(released, claimOf({ owner: 'C' }), lapse + 1).result, {
      state: 'claimed',
      attempt: 2,
      generation: 'A',
      steps: [step],
    })
  })

  test('takes the fence away, also from the attempt before', () => {
    const second = claimed({ owner: 'B' }, lapse, claimed())
    const released = settled(second, { kind: 'release', id: second.id, owner: 'B' }, lapse)
    for (const fence of [fenceOf(claimed()), fenceOf(second)])
      assertStale(released, { ...fence, kind: 'complete', outcome: outcomeOf('late') }, lapse)
  })

  test('of what is absent is accepted; of another owner, or of an attempt that has ended, it is stale', () => {
    const { id, owner } = claimOf()
    assert.deepEqual(decideSettlement(null, { kind: 'release', id, owner }, start), { result: 'ok', record: null })
    assertStale(claimed(), { kind: 'release', id, owner: 'B' }, start)
    assertStale(complete(claimed(), start), { kind: 'release', id, owner }, start)
    assertStale(interrupt(claimed(), start), { kind: 'release', id, owner }, start)
  })
})

describe('resolve', () => {
  const resolution = { actor: 'ann', reason: 'asked the bank' }
  const lapsed = (): OperationRecord => claimed({ policy: policyOf({ interrupted: hold }) })
  const resolveAs = (outcome: string): Settlement => ({
    kind: 'resolve',
    id: lapsed().id,
    resolution,
    outcome: outcome === 'absent' ? null : outcomeOf(outcome),
  })

  test('of a held operation with an outcome completes it from now on, with who decided and why', () => {
    for (const record of [lapsed(), interrupt(lapsed(), start)]) {
      const resolved = settled(record, resolveAs('paid'), lapse)
      assert.deepEqual([resolved.state, resolved.outcome, resolved.resolution], ['completed', outcomeOf('paid'), resolution])
      assert.equal(resolved.expiresAt, lapse + ttlMs)
    }
  })

  test('of a held operation as absent leaves nothing', () => {
    assert.deepEqual(decideSettlement(lapsed(), resolveAs('absent'), lapse), { result: 'ok', record: null })
  })

  test('takes the fence away: a late attempt changes nothing', () => {
    const resolved = settled(lapsed(), resolveAs('paid'), lapse)
    assertStale(resolved, { ...fenceOf(lapsed()), kind: 'complete', outcome: outcomeOf('late') }, lapse)
  })

  test('of an operation that is not held is stale', () => {
    assertStale(null, resolveAs('paid'), start)
    assertStale(lapsed(), resolveAs('paid'), lapse - 1)
    assertStale(interrupt(claimed(), start), resolveAs('absent'), start)
    assertStale(complete(claimed(), start), resolveAs('absent'), start)
  })
})

describe('any settlement', () => {
  const kinds = (record: OperationRecord): Settlement[] => [
    { ...fenceOf(record), kind: 'complete', outcome: outcomeOf('late') },
    { ...fenceOf(record), kind: 'interrupt', cause: 'thrown' },
    { ...fenceOf(record), kind: 'renew', leaseMs },
    { ...fenceOf(record), kind: 'step', step: stepOf('pay', 'late'), leaseMs },
    { kind: 'release', id: record.id, owner: record.owner },
  ]

  test('under an earlier fence is stale and changes nothing', () => {
    const next = claimed({ owner: 'B' }, lapse, claimed())
    for (const settlement of kinds(claimed())) assertStale(next, settlement, lapse)
  })

  test('under the right attempt of another owner, or an earlier attempt of the right owner, is stale', () => {
    const second = claimed({ owner: 'B' }, lapse, claimed())
    const otherOwner = kinds({ ...second, owner: 'A' })
    const otherAttempt = kinds({ ...second, attempt: 1 }).filter(({ kind }) => kind !== 'release')
    for (const settlement of [...otherOwner, ...otherAttempt]) assertStale(second, settlement, lapse)
  })

  test('of what is absent or has expired is stale, but for a release, which has nothing to give back', () => {
    for (const settlement of kinds(claimed())) {
      const result = settlement.kind === 'release' ? 'ok' : 'stale'
      assert.deepEqual(decideSettlement(null, settlement, start), { result, record: null })
      assert.equal(decideSettlement(claimed(), settlement, lapse + ttlMs).result, result)
    }
  })
})

describe('a record', () => {
  test('that is running is never removed by its ttl, however short', () => {
    const record = claimed({ policy: policyOf({ ttlMs: 1 }) })
    assert.equal(stateAt(record, lapse - 1), 'running')
    assert.equal(stateAt(record, lapse), 'interrupted')
    assert.equal(stateAt(record, lapse + 1), 'absent')
  })

  test('that lapsed expires its ttl after the end of its lease; one that is held then never does', () => {
    assert.equal(stateAt(claimed(), lapse + ttlMs - 1), 'interrupted')
    assert.equal(stateAt(claimed(), lapse + ttlMs), 'absent')
    assert.equal(stateAt(claimed({ policy: policyOf({ interrupted: hold }) }), Number.MAX_SAFE_INTEGER), 'held')
  })

  test('that a store gave back unchanged is not written again', () => {
    const record = complete(claimed(), start)
    assert.equal(decideClaim(record, claimOf({ owner: 'B' }), start).record, record)
  })
})
