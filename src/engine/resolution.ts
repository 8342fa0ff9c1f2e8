import { encodeValue, outcomeBytes } from '../core/outcome.ts'
import { InputError } from '../core/errors.ts'
import { isEncoded } from '../core/encoded.ts'
import type { Outcome, Resolution } from '../core/record.ts'
import type { ResolveAs } from './once.ts'

/** An operator's decision is kept with who made it and why: neither may be missing. */
export function checkResolution({ actor, reason }: Partial<Resolution> = {}): void {
  if (typeof actor !== 'string' || actor === '')
    throw new InputError('actor is missing: say who decides, it is kept with the operation')
  if (typeof reason !== 'string' || reason === '')
    throw new InputError('reason is missing: say why, it is kept with the operation')
}

/**
 * The outcome that an operator decided on, as a store keeps it; null for absent.
 * @throws InputError for one that cannot be kept: a decision is made to be replayed
 */
export function decidedOutcome(as: ResolveAs, bytesMax: number): Outcome | null {
  if (as === 'absent') return null
  if (typeof as !== 'object' || as === null || !('outcome' in as))
    throw new InputError("nothing was resolved: resolve as { outcome } with the operation's value, or as 'absent'")
  if (isEncoded(as.outcome)) return as.outcome
  const outcome = encodeValue(as.outcome)
  if (outcome.kept && outcomeBytes(outcome) <= bytesMax) return outcome
  throw new InputError(`nothing was resolved: the outcome must be bytes or a JSON value, of ${bytesMax} bytes at most`)
}
