import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { stateAt, type OperationRecord } from '../../src/core/record.ts'
import { decideClaim, decideSettlement, type Claim, type Settlement } from '../../src/core/transitions.ts'
import { claimOf, leaseMs, outcomeOf, policyOf, start, stepOf, ttlMs } from './support.ts'
import type { Policy } from '../../src/core/policy.ts'

/** One thing that happens: a claim, a settlement under some fence, whether it was ever granted or not, and then time passing. */
interface Event {
  readonly message: Claim | Settlement
  readonly thenMs: number
}

/** What one event did. */
interface Happening {
  readonly message: Claim | Settlement
  readonly now: number
  readonly before: OperationRecord | null
  readonly after: OperationRecord | null
  readonly result: string
}

const { id } = claimOf()
const owner = fc.constantFrom('A', 'B', 'C')
const fence = fc.record({ id: fc.constant(id), attempt: fc.integer({ min: 1, max: 4 }), owner })
const rule = fc.constantFrom('retry' as const, 'hold' as const)
const interrupted = fc.record({ answered: rule, thrown: rule, lapsed: rule })
const policy = fc.record({
  interrupted,
  attemptsMax: fc.integer({ min: 1, max: 4 }),
  rememberMs: fc.constantFrom(0, 50),
  ttlMs: fc.constantFrom(1, 30, ttlMs),
})
const outcome = fc.constantFrom('one', 'two', 'three').map(outcomeOf)

const settlement: fc.Arbitrary<Settlement> = fc.oneof(
  fc.tuple(fence, outcome).map(([under, ended]) => ({ ...under, kind: 'complete' as const, outcome: ended })),
  fc
    .tuple(fence, fc.constantFrom('answered' as const, 'thrown' as const))
    .map(([under, cause]) => ({ ...under, kind: 'interrupt' as const, cause })),
  fence.map((under) => ({ ...under, kind: 'renew' as const, leaseMs })),
  fc
    .tuple(fence, fc.constantFrom('a', 'b'))
    .map(([under, name]) => ({ ...under, kind: 'step' as const, step: stepOf(name, name), leaseMs })),
  owner.map((releasing) => ({ kind: 'release' as const, id, owner: releasing })),
  fc
    .option(outcome)
    .map((ended) => ({ kind: 'resolve' as const, id, outcome: ended, resolution: { actor: 'ann', reason: 'test' } })),
)

const passing = fc.constantFrom(0, 0, 1, leaseMs / 2, leaseMs, ttlMs)
const history = (decided: Policy): fc.Arbitrary<Event[]> => {
  const claim = fc
    .record({ owner, fingerprint: fc.constantFrom('f1', 'f1', 'f1', 'f2') })
    .map((changes) => claimOf({ ...changes, policy: decided }))
  return fc.array(fc.record({ message: fc.oneof(claim, settlement), thenMs: passing }), { minLength: 5, maxLength: 30 })
}

function play(events: readonly Event[]): Happening[] {
  let record: OperationRecord | null = null
  let now = start
  return events.map(({ message, thenMs }) => {
    const before: OperationRecord | null = record
    const decision = 'kind' in message ? decideSettlement(before, message, now) : decideClaim(before, message, now)
    const result = typeof decision.result === 'string' ? decision.result : decision.result.state
    const happening = { message, now, before, after: decision.record, result }
    record = decision.record
    now += thenMs
    return happening
  })
}

/** Checks every happening of many histories. */
function always(check: (happening: Happening) => void): void {
  const histories = policy.chain((decided) => history(decided))
  fc.assert(
    fc.property(histories, (events) => play(events).forEach(check)),
    { numRuns: 500 },
  )
}

function effectiveState({ before, now }: Happening): string {
  return before === null ? 'absent' : stateAt(before, now)
}

/** Whether the message is of the fence, or by the owner or operator, that may say it of this record. */
function isEntitled(happening: Happening): boolean {
  const { before, message } = happening
  if (!('kind' in message)) return true
  if (before === null || effectiveState(happening) === 'absent') return false
  if (message.kind === 'resolve') return effectiveState(happening) === 'held'
  return message.owner === before.owner && (message.kind === 'release' || message.attempt === before.attempt)
}

test('a settlement under a fence that is not the present one changes nothing and says stale', () => {
  always((happening) => {
    const { before, after, message, result } = happening
    if (isEntitled(happening)) return
    assert.equal(after, before)
    if (!('kind' in message && message.kind === 'release' && effectiveState(happening) === 'absent'))
      assert.equal(result, 'stale')
  })
})

test('what is stale, busy, held, mismatch, completed or expired writes nothing', () => {
  always(({ before, after, result }) => {
    if (result !== 'ok' && result !== 'claimed') assert.equal(after, before)
  })
})

test('attempt numbers never fall but by a release, and grow by one at a time by a claim only', () => {
  always((happening) => {
    const { before, after, message } = happening
    if (before === null || after === null || effectiveState(happening) === 'absent') return
    const grown = after.attempt - before.attempt
    if (!('kind' in message)) assert.ok(grown === 0 || grown === 1)
    else assert.ok(grown === 0 || (message.kind === 'release' && grown === -1))
  })
})

test('a completed outcome never changes, and goes only when its ttl has passed', () => {
  always((happening) => {
    if (effectiveState(happening) !== 'completed') return
    assert.deepEqual(happening.after?.outcome, happening.before?.outcome)
    assert.deepEqual(
      [happening.after?.endedAt, happening.after?.expiresAt],
      [happening.before?.endedAt, happening.before?.expiresAt],
    )
  })
})

test('the same complete or interrupt twice is accepted twice and written once', () => {
  always(({ after, message, now, result }) => {
    if (!('kind' in message) || result !== 'ok' || (message.kind !== 'complete' && message.kind !== 'interrupt')) return
    if (after === null || stateAt(after, now) === 'absent') return
    assert.deepEqual(decideSettlement(after, message, now), { result: 'ok', record: after })
  })
})

test('a live lease is never lost to the ttl or to another claim, and a held operation neither expires nor runs', () => {
  always((happening) => {
    const { before, after, message, result } = happening
    if (before?.state === 'running' && before.leaseUntil > happening.now) assert.equal(effectiveState(happening), 'running')
    if ('kind' in message || result !== 'claimed') return
    const state = effectiveState(happening)
    const own = before?.state === 'running' && before.owner === message.owner
    assert.ok(state === 'absent' || state === 'interrupted' || own, `granted although ${state}`)
    if (own && state !== 'absent') assert.equal(after?.attempt, before.attempt)
  })
})

test('a held operation never expires by itself', () => {
  always(({ after, now }) => {
    if (after !== null && stateAt(after, now) === 'held') assert.equal(stateAt(after, Number.MAX_SAFE_INTEGER), 'held')
  })
})

test('policy, fingerprint and steps stay with the record as long as it lives, but for the steps of a completed one', () => {
  always((happening) => {
    const { before, after } = happening
    if (before === null || after === null || effectiveState(happening) === 'absent') return
    assert.deepEqual([after.policy, after.fingerprint, after.createdAt], [before.policy, before.fingerprint, before.createdAt])
    if (after.state !== 'completed') assert.deepEqual(after.steps.slice(0, before.steps.length), before.steps)
  })
})

test('an operation whose policy holds every interruption is never granted a second attempt', () => {
  const holds = policyOf({ interrupted: { answered: 'hold', thrown: 'hold', lapsed: 'hold' } })
  const check = ({ after }: Happening): void => assert.ok((after?.attempt ?? 1) === 1)
  fc.assert(
    fc.property(history(holds), (events) => play(events).forEach(check)),
    { numRuns: 500 },
  )
})
