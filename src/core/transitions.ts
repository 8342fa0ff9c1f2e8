import { isHeldAfter, type InterruptionCause, type Policy } from './policy.ts'
import { stateAt, type OperationRecord, type Outcome, type Resolution, type Step } from './record.ts'
import type { Operation } from './operation.ts'

/** One call's wish to run an operation. */
export interface Claim extends Operation {
  readonly id: string
  readonly fingerprint: string
  /** Random id, new for every call that wants to run; sent again unchanged when the reply to a claim was lost. */
  readonly owner: string
  readonly leaseMs: number
  /** Stored at the first claim of the operation; a later claim's is not looked at. */
  readonly policy: Policy
}

/** What a claim found, and whether its caller now owns an attempt. */
export type ClaimResult =
  | { readonly state: 'claimed'; readonly attempt: number; readonly generation: string; readonly steps: readonly Step[] }
  | { readonly state: 'busy'; readonly leaseMs: number }
  | { readonly state: 'completed'; readonly outcome: Outcome }
  | { readonly state: 'mismatch' }
  | { readonly state: 'held'; readonly attempt: number; readonly cause: InterruptionCause }
  | { readonly state: 'expired' }

/** What the holder of an attempt is known by; every settlement compares both. */
export interface Fence {
  readonly id: string
  readonly attempt: number
  readonly owner: string
}

/** What an attempt says of its operation, or an operator of a held one. */
export type Settlement =
  | (Fence & { readonly kind: 'complete'; readonly outcome: Outcome })
  | (Fence & { readonly kind: 'interrupt'; readonly cause: 'answered' | 'thrown' | 'uncertain' })
  | (Fence & { readonly kind: 'renew'; readonly leaseMs: number })
  | (Fence & { readonly kind: 'step'; readonly step: Step; readonly leaseMs: number })
  | { readonly kind: 'release'; readonly id: string; readonly owner: string }
  | { readonly kind: 'resolve'; readonly id: string; readonly outcome: Outcome | null; readonly resolution: Resolution }

/** `stale`: the fence was not the record's, and nothing changed. */
export type SettleResult = 'ok' | 'stale'

/** A decision: what to answer, and the record from now on (`null`: absent). The same object as before means: write nothing. */
export interface Decision<Result> {
  readonly result: Result
  readonly record: OperationRecord | null
}

const noSteps: readonly Step[] = []

/** The transition table: what a claim finds at `now`, by the store's clock, and what it leaves. */
export function decideClaim(record: OperationRecord | null, claim: Claim, now: number): Decision<ClaimResult> {
  const state = record === null ? 'absent' : stateAt(record, now)
  if (record === null || state === 'absent') return firstAttempt(claim, now)
  if (record.fingerprint !== claim.fingerprint) return { result: { state: 'mismatch' }, record }
  // The owner that asks again had not received its answer: the attempt is its own, lapsed or not, as long as nobody took over.
  if (record.state === 'running' && record.owner === claim.owner) return sameAttempt(record, claim, now)
  switch (state) {
    case 'running':
      return { result: { state: 'busy', leaseMs: record.leaseUntil - now }, record }
    case 'interrupted':
      // An owner is used for one attempt: a claim under the owner of an attempt that has ended is a copy that came late, and nobody is behind it.
      if (record.owner === claim.owner) return { result: { state: 'busy', leaseMs: 0 }, record }
      return nextAttempt(record, claim, now)
    case 'held':
      return { result: { state: 'held', attempt: record.attempt, cause: record.cause ?? 'lapsed' }, record }
    case 'completed':
      if (record.outcome === null) throw new Error(`record ${record.id} is completed without an outcome: the store is damaged`)
      return { result: { state: 'completed', outcome: record.outcome }, record }
    case 'expired':
      return { result: { state: 'expired' }, record }
  }
}

/** The settlement table: what a settlement changes at `now`, by the store's clock, or that its fence is stale. */
export function decideSettlement(record: OperationRecord | null, settlement: Settlement, now: number): Decision<SettleResult> {
  const present = record !== null && stateAt(record, now) !== 'absent' ? record : null
  switch (settlement.kind) {
    case 'release':
      return release(record, present, settlement.owner, now)
    case 'resolve':
      return resolve(record, present, settlement, now)
    case 'complete':
    case 'interrupt':
    case 'renew':
    case 'step':
      if (present === null || present.owner !== settlement.owner || present.attempt !== settlement.attempt) return stale(record)
      return settleOwned(present, settlement, now)
  }
}

/** The settlements of the present fence. A repeat of the one that ended the attempt is accepted: its reply had been lost. */
function settleOwned(record: OperationRecord, settlement: Extract<Settlement, Fence>, now: number): Decision<SettleResult> {
  const running = record.state === 'running'
  switch (settlement.kind) {
    case 'complete':
      if (running) return ok(completed(record, settlement.outcome, now))
      // A tombstone too: whether a sweep came by in between is nobody's to see.
      return record.state === 'completed' || record.state === 'tombstone' ? ok(record) : stale(record)
    case 'interrupt':
      if (running) return ok(interrupted(record, settlement.cause, now))
      return record.cause === settlement.cause ? ok(record) : stale(record)
    case 'renew':
      return running ? ok(leased(record, settlement.leaseMs, now)) : stale(record)
    case 'step':
      return running ? ok(leased(withStep(record, settlement.step), settlement.leaseMs, now)) : stale(record)
  }
}

/**
 * Gives a claim back whose handler never started. The owner alone is compared: a claim whose reply was lost does not know its
 * attempt, and an owner id is used for one attempt only. The first attempt leaves nothing; a later one leaves what it found.
 */
function release(
  record: OperationRecord | null,
  present: OperationRecord | null,
  owner: string,
  now: number,
): Decision<SettleResult> {
  if (present === null) return { result: 'ok', record }
  if (present.owner !== owner || present.state !== 'running') return stale(record)
  if (present.attempt === 1) return { result: 'ok', record: null }
  const expiresAt = now + present.policy.ttlMs
  return ok({
    ...present,
    state: 'interrupted',
    attempt: present.attempt - 1,
    owner: '',
    leaseUntil: now,
    cause: 'lapsed',
    endedAt: now,
    expiresAt,
  })
}

/** An operator's word on a held operation. It takes the fence away, so that a late attempt cannot overwrite it. */
function resolve(
  record: OperationRecord | null,
  present: OperationRecord | null,
  { outcome, resolution }: Extract<Settlement, { kind: 'resolve' }>,
  now: number,
): Decision<SettleResult> {
  if (present === null || stateAt(present, now) !== 'held') return stale(record)
  if (outcome === null) return { result: 'ok', record: null }
  return ok({ ...completed(present, outcome, now), owner: '', resolution })
}

function firstAttempt(claim: Claim, now: number): Decision<ClaimResult> {
  const { id, scope, name, key, fingerprint, policy, owner, leaseMs } = claim
  const record: OperationRecord = {
    id,
    scope,
    name,
    key,
    fingerprint,
    generation: owner,
    policy,
    state: 'running',
    attempt: 1,
    owner,
    leaseUntil: now + leaseMs,
    cause: null,
    createdAt: now,
    endedAt: null,
    expiresAt: expiryOf(policy, 1, now + leaseMs),
    outcome: null,
    steps: noSteps,
    resolution: null,
  }
  return { result: { state: 'claimed', attempt: 1, generation: owner, steps: noSteps }, record }
}

function sameAttempt(record: OperationRecord, claim: Claim, now: number): Decision<ClaimResult> {
  const { attempt, generation, steps } = record
  return { result: { state: 'claimed', attempt, generation, steps }, record: leased(record, claim.leaseMs, now) }
}

function nextAttempt(record: OperationRecord, claim: Claim, now: number): Decision<ClaimResult> {
  const { generation, steps } = record
  const attempt = record.attempt + 1
  const running: OperationRecord = { ...record, state: 'running', attempt, owner: claim.owner, cause: null, endedAt: null }
  return { result: { state: 'claimed', attempt, generation, steps }, record: leased(running, claim.leaseMs, now) }
}

/** A running record with a new lease. */
function leased(record: OperationRecord, leaseMs: number, now: number): OperationRecord {
  const leaseUntil = now + leaseMs
  return { ...record, leaseUntil, expiresAt: expiryOf(record.policy, record.attempt, leaseUntil) }
}

/** Should the lease lapse, the record expires `ttlMs` after that, or never if it is then held. */
function expiryOf(policy: Policy, attempt: number, leaseUntil: number): number | null {
  return isHeldAfter(policy, 'lapsed', attempt) ? null : leaseUntil + policy.ttlMs
}

function completed(record: OperationRecord, outcome: Outcome, now: number): OperationRecord {
  const expiresAt = now + record.policy.ttlMs + record.policy.rememberMs
  // Steps have served: no attempt follows a completed one.
  return { ...record, state: 'completed', leaseUntil: now, cause: null, endedAt: now, expiresAt, outcome, steps: noSteps }
}

function interrupted(record: OperationRecord, cause: InterruptionCause, now: number): OperationRecord {
  const held = isHeldAfter(record.policy, cause, record.attempt)
  const expiresAt = held ? null : now + record.policy.ttlMs
  return { ...record, state: held ? 'held' : 'interrupted', leaseUntil: now, cause, endedAt: now, expiresAt }
}

/** The same step again keeps its first result: its reply had been lost. */
function withStep(record: OperationRecord, step: Step): OperationRecord {
  if (record.steps.some(({ name }) => name === step.name)) return record
  return { ...record, steps: [...record.steps, step] }
}

function ok(record: OperationRecord): Decision<SettleResult> {
  return { result: 'ok', record }
}

function stale(record: OperationRecord | null): Decision<SettleResult> {
  return { result: 'stale', record }
}
