import type { Outcome } from './record.ts'

const known = new WeakSet<object>()

/** Marks an outcome as already encoded by a door, so that `resolve` stores it as it is rather than as a value. */
export function encoded(outcome: Outcome): Outcome {
  known.add(outcome)
  return outcome
}

/** Whether a value is an outcome that a door has encoded. */
export function isEncoded(value: unknown): value is Outcome {
  return typeof value === 'object' && value !== null && known.has(value)
}
