import { hash } from 'node:crypto'
import { operationId } from '../../src/core/operation.ts'
import type { OperationRecord, Outcome, Step } from '../../src/core/record.ts'
import type { Policy } from '../../src/core/policy.ts'
import { decideClaim, decideSettlement, type Claim, type Fence, type Settlement } from '../../src/core/transitions.ts'

/** The digest under which the pure functions are tested. */
export const sha256 = (data: string | Uint8Array): string => hash('sha256', data)

/** Times in these tests are small, and all different, so that a wrong one shows. Milliseconds. */
export const leaseMs = 100
/** See `leaseMs`. */
export const ttlMs = 1_000
/** When the tests' first claims are made. */
export const start = 10_000

const retry = { answered: 'retry', thrown: 'retry', lapsed: 'retry' } as const

/** A policy that retries, three attempts at the most, without a tombstone. */
export function policyOf(changes: Partial<Policy> = {}): Policy {
  return { ttlMs, rememberMs: 0, interrupted: retry, attemptsMax: 3, ...changes }
}

const operation = { scope: 'tenant', name: 'POST /charges', key: 'k1' }

/** A claim by owner `A` unless said otherwise. */
export function claimOf(changes: Partial<Claim> = {}): Claim {
  const id = operationId(operation, sha256)
  return { ...operation, id, fingerprint: 'f1', owner: 'A', leaseMs, policy: policyOf(), ...changes }
}

/** The record that these claims leave, each made at its time; they must all be granted. */
export function claimed(
  changes: Partial<Claim> = {},
  now: number = start,
  before: OperationRecord | null = null,
): OperationRecord {
  const { result, record } = decideClaim(before, claimOf(changes), now)
  if (result.state !== 'claimed' || record === null)
    throw new Error(`the claim of ${changes.owner ?? 'A'} was answered ${result.state}`)
  return record
}

/** The record that a settlement leaves that must be accepted and leave one. */
export function settled(before: OperationRecord, settlement: Settlement, now: number): OperationRecord {
  const { result, record } = decideSettlement(before, settlement, now)
  if (result !== 'ok' || record === null) throw new Error(`the settlement was answered ${result}`)
  return record
}

/** The fence that a record is under. */
export function fenceOf({ id, attempt, owner }: OperationRecord): Fence {
  return { id, attempt, owner }
}

/** An outcome that says this. */
export function outcomeOf(text: string): Outcome {
  return { kept: true, meta: 'json', body: new TextEncoder().encode(JSON.stringify(text)) }
}

/** A step of this name that says this. */
export function stepOf(name: string, text: string): Step {
  return { name, result: outcomeOf(text) }
}
