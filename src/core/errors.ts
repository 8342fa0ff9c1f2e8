import type { InterruptionCause } from './policy.ts'

/** The stable codes of the library's errors; `docs/errors.md` has a section for each. */
export type ErrorCode =
  | 'attempt_ended'
  | 'attempt_timeout'
  | 'busy'
  | 'closed'
  | 'expired'
  | 'held'
  | 'input_invalid'
  | 'lease_lost'
  | 'mismatch'
  | 'nested_run'
  | 'options_invalid'
  | 'outcome_not_kept'
  | 'refused'
  | 'store_data'
  | 'store_full'
  | 'store_open_failed'
  | 'store_unavailable'
  | 'transaction_timeout'
  | 'uncertain'

/** The base of every error the library throws. Its message says what happened, whether the operation ran, and what to do. */
export abstract class OncewardError extends Error {
  /** Stable, for programs; the message is for people and may change. */
  abstract readonly code: ErrorCode
}

/** Whether a caught value is one of the library's errors; by code, so that two copies of the library agree. */
export function isOncewardError(error: unknown): error is OncewardError {
  return error instanceof Error && 'code' in error && 'onceward' in error && error.onceward === true
}

// On the prototype: errors of every class carry the mark without a field each.
Object.defineProperty(OncewardError.prototype, 'onceward', { value: true })

/** An argument of a call is wrong; nothing was claimed and nothing ran. */
export class InputError extends OncewardError {
  override readonly name = 'InputError'
  readonly code = 'input_invalid'
}

/** An option is wrong; nothing was opened. */
export class OptionsError extends OncewardError {
  override readonly name = 'OptionsError'
  readonly code = 'options_invalid'
}

/** The operation did not end within the wait. */
export class BusyError extends OncewardError {
  override readonly name = 'BusyError'
  readonly code = 'busy'
  /** When to ask again with the same key. Milliseconds from now. */
  readonly retryAfterMs: number
  /** True when this call's own attempt had run and lost its lease to another, which has not ended yet. */
  readonly attempted: boolean

  constructor(retryAfterMs: number, attempted: boolean) {
    const what = attempted
      ? 'this call ran the handler, but lost its lease, and what the operation ended with is not known yet'
      : 'the operation is still running elsewhere; this call ran nothing'
    super(`${what}: ask again with the same key in ${retryAfterMs} ms`)
    this.retryAfterMs = retryAfterMs
    this.attempted = attempted
  }
}

/** The reason with which `attempt.signal` aborts: another attempt may own the operation now. */
export class LeaseLostError extends OncewardError {
  override readonly name = 'LeaseLostError'
  readonly code = 'lease_lost'

  constructor(why: string) {
    super(`the attempt no longer owns its operation (${why}); another one may be running: stop before the next effect`)
  }
}

/** The key was used before with another input. This call ran nothing, and the first operation stays as it was. */
export class MismatchError extends OncewardError {
  override readonly name = 'MismatchError'
  readonly code = 'mismatch'

  constructor() {
    super('the key was used before with another input; this call ran nothing: use a new key for a new operation')
  }
}

/** An earlier attempt ended without an outcome, and nobody may run the operation again until someone resolves it. */
export class HeldError extends OncewardError {
  override readonly name = 'HeldError'
  readonly code = 'held'
  /** Number of the attempt that ended without an outcome. */
  readonly attempt: number
  /** How that attempt ended. */
  readonly interruption: InterruptionCause

  constructor(attempt: number, interruption: InterruptionCause) {
    super(
      `attempt ${attempt} ${interruption} without an outcome, so whether the operation took effect is unknown; this call ran nothing: ` +
        'find out, then call once.resolve with the outcome or as absent',
    )
    this.attempt = attempt
    this.interruption = interruption
  }
}

/** The operation ran once and its outcome is no longer kept. This call ran nothing. */
export class ExpiredError extends OncewardError {
  override readonly name = 'ExpiredError'
  readonly code = 'expired'

  constructor() {
    super('the operation ran, and its outcome is no longer kept; this call ran nothing: look at what it did, or use a new key')
  }
}

/** The operation ran once, but its outcome was too large or could not be serialised. This call ran nothing. */
export class OutcomeNotKeptError extends OncewardError {
  override readonly name = 'OutcomeNotKeptError'
  readonly code = 'outcome_not_kept'

  constructor() {
    super(
      'the operation ran, but its outcome was too large or could not be serialised, so it cannot be replayed; this call ran nothing: ' +
        'look at what the operation did; return a smaller or plain JSON value to have it kept',
    )
  }
}

/** An operation was run inside itself: it would wait for its own end. */
export class NestedRunError extends OncewardError {
  override readonly name = 'NestedRunError'
  readonly code = 'nested_run'

  constructor(name: string) {
    super(
      `'${name}' was called inside itself with the same scope and key, and would wait for its own end: use another key or name`,
    )
  }
}

/** The handler was still running when its time was up. Whether it takes effect is unknown. */
export class AttemptTimeoutError extends OncewardError {
  override readonly name = 'AttemptTimeoutError'
  readonly code = 'attempt_timeout'

  constructor(attemptMs: number) {
    super(
      `the handler has not finished in ${attemptMs} ms; whether it takes effect is unknown, and its lease is no longer renewed: ` +
        'make it end (attempt.signal tells it when), or raise attemptTimeout',
    )
  }
}

/** Something of an attempt was used after its handler had ended. */
export class AttemptEndedError extends OncewardError {
  override readonly name = 'AttemptEndedError'
  readonly code = 'attempt_ended'

  /** @param consequence what was not done */
  constructor(consequence: string) {
    super(`the attempt has ended, and ${consequence}: await everything inside the handler`)
  }
}

/**
 * A step with `uncertain: 'hold'` was begun, and whether it took effect is unknown. The operation is held, whatever the handler makes of
 * this error.
 */
export class UncertainError extends OncewardError {
  override readonly name = 'UncertainError'
  readonly code = 'uncertain'

  constructor(step: string) {
    super(
      `whether the step '${step}' took effect is unknown, and it must not be done twice; the operation is held: ` +
        'find out, then call once.resolve with the outcome or as absent',
    )
  }
}

/** The work of a transaction had not ended when its time was up. Its effects in the database were rolled back, and it is forgotten. */
export class TransactionTimeoutError extends OncewardError {
  override readonly name = 'TransactionTimeoutError'
  readonly code = 'transaction_timeout'

  constructor(transactionMs: number) {
    super(
      `the transaction has not ended in ${transactionMs} ms and was rolled back, so that nothing of it took effect in the database: ` +
        'do less in it, or raise transactionTimeout',
    )
  }
}

/** `close()` was called; this call ran nothing. */
export class ClosedError extends OncewardError {
  override readonly name = 'ClosedError'
  readonly code = 'closed'

  constructor() {
    super('this instance is closed; the call ran nothing: make calls before close(), or on a new instance')
  }
}

/** The store did not answer, or failed. */
export class StoreUnavailableError extends OncewardError {
  override readonly name = 'StoreUnavailableError'
  readonly code = 'store_unavailable'

  /** @param consequence what that means for the call, and what to do */
  constructor(cause: unknown, consequence = 'the handler was not run: ask again with the same key when the store is back') {
    super(`the store did not answer (${cause instanceof Error ? cause.message : String(cause)}); ${consequence}`, { cause })
  }
}

/** The store could not be opened. The message names the remedy. */
export class StoreOpenError extends OncewardError {
  override readonly name = 'StoreOpenError'
  readonly code = 'store_open_failed'
}

/** The store is full of records that have not expired; nothing was claimed. */
export class StoreFullError extends OncewardError {
  override readonly name = 'StoreFullError'
  readonly code = 'store_full'
}

/** The database refused the data of one call of a batch, and nothing of the batch was applied; the engine then splits the batch. */
export class StoreDataError extends OncewardError {
  override readonly name = 'StoreDataError'
  readonly code = 'store_data'
}

/** An outcome that says no: thrown by a handler, remembered, and thrown again by every replay. */
export class Refusal extends OncewardError {
  override readonly name = 'Refusal'
  readonly code = 'refused'
  /** An HTTP status, 400 to 499. Under this name frameworks read it from an error. */
  readonly status: number
  /** What else the caller should know: any JSON value. */
  readonly details: unknown

  constructor(status: number, message: string, details?: unknown) {
    super(message)
    if (!Number.isInteger(status) || status < 400 || status > 499)
      throw new InputError(`a refusal's status is 400 to 499, not ${status}: throw an ordinary error for anything else`)
    this.status = status
    this.details = details
  }
}

/** Whether a caught value is a refusal, of whichever copy of the library. */
export function isRefusal(error: unknown): error is Refusal {
  return isOncewardError(error) && error.code === 'refused'
}

/**
 * An outcome that says no: `throw refusal(422, 'card declined')`. It is remembered and replayed; any other throw interrupts.
 * @param status an HTTP status, 400 to 499
 * @param details any JSON value, kept with it
 */
export function refusal(status: number, message: string, details?: unknown): Refusal {
  return new Refusal(status, message, details)
}
