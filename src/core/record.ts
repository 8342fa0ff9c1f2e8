import { isHeldAfter, type InterruptionCause, type Policy } from './policy.ts'
import type { Operation } from './operation.ts'

/** What an operation ended with, as a store keeps it: opaque to it. */
export interface Outcome {
  /** False when the outcome was too large or could not be serialised: then `body` is empty and no replay is possible. */
  readonly kept: boolean
  /** What the body is, in the words of whoever encoded it (the engine's values, the HTTP door's answers). */
  readonly meta: string
  /** The outcome's bytes, unchanged. */
  readonly body: Uint8Array
}

/** A named part of an attempt whose result is kept, so that the next attempt does not do it again. */
export interface Step {
  readonly name: string
  readonly result: Outcome
}

/** Who decided a held operation, and why. */
export interface Resolution {
  readonly actor: string
  readonly reason: string
}

/** The states a record is stored in. What it amounts to at a given time is `stateAt`. */
export type RecordState = 'running' | 'interrupted' | 'held' | 'completed' | 'tombstone'

/** What a store keeps for one operation. All times are milliseconds since 1970 by the store's clock. */
export interface OperationRecord extends Operation {
  readonly id: string
  /** SHA-256 of the input, 64 hexadecimal digits. */
  readonly fingerprint: string
  /**
   * The owner of the first attempt: the same for all attempts, and another one once the operation has expired, or was resolved as absent,
   * and runs anew.
   */
  readonly generation: string
  readonly policy: Policy
  readonly state: RecordState
  /** Number of the newest attempt, from 1. With `owner` it is the fence. */
  readonly attempt: number
  /** Random id of the newest attempt's holder; empty once somebody resolved the operation. */
  readonly owner: string
  /** When the newest attempt's lease ends or ended. */
  readonly leaseUntil: number
  /** Why the newest attempt ended without an outcome; null while it runs and when it completed. */
  readonly cause: InterruptionCause | null
  readonly createdAt: number
  /** When the newest attempt was settled; null while it runs. */
  readonly endedAt: number | null
  /** From when on the record counts as absent; null for one that never expires by itself. */
  readonly expiresAt: number | null
  readonly outcome: Outcome | null
  readonly steps: readonly Step[]
  readonly resolution: Resolution | null
}

/** What a record amounts to now: a lapsed attempt is interrupted or held, an outlived outcome expired or absent. */
export type EffectiveState = 'absent' | 'running' | 'interrupted' | 'held' | 'completed' | 'expired'

/** What the record amounts to at `now`, by the store's clock. */
export function stateAt(record: OperationRecord, now: number): EffectiveState {
  if (record.expiresAt !== null && record.expiresAt <= now) return 'absent'
  switch (record.state) {
    case 'running':
      if (record.leaseUntil > now) return 'running'
      return isHeldAfter(record.policy, 'lapsed', record.attempt) ? 'held' : 'interrupted'
    case 'completed':
      return outcomeUntil(record) <= now ? 'expired' : 'completed'
    case 'tombstone':
      return 'expired'
    case 'interrupted':
    case 'held':
      return record.state
  }
}

/** When a completed record's outcome is no longer handed out. */
export function outcomeUntil({ endedAt, policy }: OperationRecord): number {
  return (endedAt ?? 0) + policy.ttlMs
}
