/**
 * Why an attempt ended without an outcome: its answer was not to be kept, it threw, or its lease lapsed (a crash, a stall); or it came to a
 * step of which only the intent is recorded, so that nobody knows whether it took effect.
 */
export type InterruptionCause = 'answered' | 'thrown' | 'lapsed' | 'uncertain'

/** What becomes of an interrupted operation: the next claim runs it again, or nobody may until someone resolves it. */
export type InterruptedRule = 'retry' | 'hold'

/** The rule for each cause of interruption that has a choice: an operation whose attempt ended uncertain is always held. */
export type InterruptedPolicy = Readonly<Record<Exclude<InterruptionCause, 'uncertain'>, InterruptedRule>>

/** What is decided for an operation once, at its first claim, and stored in its record, so that servers of two versions agree. */
export interface Policy {
  /** How long its outcome is kept, counted from completion. Milliseconds. */
  readonly ttlMs: number
  /** How long after the ttl a tombstone tells a repeat that its outcome has expired; 0 for none. Milliseconds. */
  readonly rememberMs: number
  /** What becomes of an interrupted attempt, by cause. */
  readonly interrupted: InterruptedPolicy
  /** Attempts after which an interrupted operation is held, whatever the rule says. */
  readonly attemptsMax: number
}

/** Whether an operation whose attempt ended this way waits for someone to resolve it. */
export function isHeldAfter(policy: Policy, cause: InterruptionCause, attempt: number): boolean {
  return cause === 'uncertain' || policy.interrupted[cause] === 'hold' || attempt >= policy.attemptsMax
}
