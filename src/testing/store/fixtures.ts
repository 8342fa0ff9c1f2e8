import { hash } from 'node:crypto'
import { operationId } from '../../core/operation.ts'
import type { Claim, Fence, Settlement } from '../../core/transitions.ts'
import type { Policy } from '../../core/policy.ts'
import type { Outcome, Step } from '../../core/record.ts'

/**
 * Times of the fixed cases, in milliseconds. They stand far apart, and a look is taken `marginMs` before a boundary or `afterMs`
 * past it, so that the milliseconds which pass in between never decide.
 */
export const times: Readonly<Record<'leaseMs' | 'ttlMs' | 'rememberMs' | 'marginMs' | 'afterMs', number>> = {
  leaseMs: 100_000,
  ttlMs: 1_000_000,
  rememberMs: 3_000_000,
  marginMs: 60_000,
  afterMs: 1_000,
}

/** A policy; what is not given: each cause retried, no tombstone. */
export function policyOf(given: Partial<Policy> = {}): Policy {
  const interrupted = { answered: 'retry', thrown: 'retry', lapsed: 'retry' } as const
  return { ttlMs: times.ttlMs, rememberMs: 0, interrupted, attemptsMax: 10, ...given }
}

/** SHA-256 in lower-case hexadecimal. */
export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data)
}

/** A claim; what is not given is that of the case's one operation by its first owner. The id follows from the words. */
export function claimOf(given: Partial<Omit<Claim, 'id'>> = {}): Claim {
  const { scope = 'scope', name = 'name', key = 'key' } = given
  const id = operationId({ scope, name, key }, sha256)
  const usual = { fingerprint: sha256('input'), owner: 'owner-1', leaseMs: times.leaseMs, policy: policyOf() }
  return { ...usual, ...given, id, scope, name, key }
}

/** Claims of as many operations, `key-0` on. */
export function claimsOf(count: number, given: Partial<Omit<Claim, 'id'>> = {}): readonly Claim[] {
  return Array.from({ length: count }, (_, index) => claimOf({ key: `key-${index}`, ...given }))
}

/** An outcome whose body is this text. */
export function outcomeOf(text: string): Outcome {
  return { kept: true, meta: 'text', body: new TextEncoder().encode(text) }
}

/** A step whose result tells its name. */
export function stepOf(name: string): Step {
  return { name, result: outcomeOf(`result of ${name}`) }
}

/** The identity of the case's one operation. */
export const operationOne: string = claimOf().id

/** The fence of an attempt; unless given, by the owner of the same number, of the case's one operation. */
export function fence(attempt: number = 1, owner: string = `owner-${attempt}`, id: string = operationOne): Fence {
  return { id, attempt, owner }
}

/** Completes an attempt, with an outcome whose body is this text. */
export function complete(by: Fence = fence(), text: string = 'outcome'): Settlement {
  return { kind: 'complete', ...by, outcome: outcomeOf(text) }
}

/** Interrupts an attempt. */
export function interrupt(by: Fence = fence(), cause: 'answered' | 'thrown' | 'uncertain' = 'thrown'): Settlement {
  return { kind: 'interrupt', ...by, cause }
}

/** Renews an attempt. */
export function renew(by: Fence = fence(), leaseMs: number = times.leaseMs): Settlement {
  return { kind: 'renew', ...by, leaseMs }
}

/** Keeps a step of an attempt. */
export function step(by: Fence = fence(), made: Step = stepOf('step'), leaseMs: number = times.leaseMs): Settlement {
  return { kind: 'step', ...by, step: made, leaseMs }
}

/** Releases an owner's claim. */
export function release(owner: string = 'owner-1', id: string = operationOne): Settlement {
  return { kind: 'release', id, owner }
}

/** Resolves a held operation; null: as absent. */
export function resolve(outcome: Outcome | null, id: string = operationOne): Settlement {
  return { kind: 'resolve', id, outcome, resolution: { actor: 'operator', reason: 'looked it up' } }
}
