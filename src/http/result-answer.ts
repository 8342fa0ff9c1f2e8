import { ClosedError, isOncewardError, type OncewardError } from '../core/errors.ts'
import { decodeAnswer, isLocation, type Answer } from './answer.ts'
import { limits } from '../core/limits.ts'
import { misconfigured } from './refusals.ts'
import { problem } from './problem.ts'
import { replayedHeader } from './marker.ts'
import type { ExecuteResult } from '../engine/once.ts'
import type { HttpPolicy } from './policy.ts'
import type { Outcome } from '../core/record.ts'

/** The answer to a call that another one, or an earlier one, has decided. */
export function answerTo<Request>(policy: HttpPolicy<Request>, result: Exclude<ExecuteResult, { state: 'interrupted' }>): Answer {
  switch (result.state) {
    case 'completed':
      return result.outcome.kept ? replay(result.outcome) : notKept(result.outcome)
    case 'busy':
      return busy(result)
    case 'mismatch':
      return problem('idempotency_key_reused', {
        status: policy.mismatchStatus,
        detail: 'the key was used before with another input; nothing was done: use a new key for a new operation',
      })
    case 'held':
      return problem('idempotency_outcome_unknown', {
        detail:
          'an earlier attempt was cut short, and whether it took effect is unknown; nothing was done now: ask the operator, who can resolve it',
      })
    case 'expired':
      return problem('idempotency_outcome_expired', {
        detail:
          'the operation ran, and its outcome is no longer kept; nothing was done now: look at what it did, or use a new key',
      })
  }
}

/** The answer where the engine failed; undefined for an error that is not its own. */
export function answerToError(error: unknown): Answer | undefined {
  if (!isOncewardError(error)) return undefined
  if (isStoreDown(error) || error.code === 'closed') return storeUnavailable(error)
  if (error.code === 'attempt_timeout') return attemptTimeout()
  const isMistake = error.code === 'input_invalid' || error.code === 'options_invalid' || error.code === 'nested_run'
  return isMistake ? misconfigured(error.message) : undefined
}

/** Whether the engine failed because of its store, before any handler ran. */
export function isStoreDown(error: unknown): boolean {
  return isOncewardError(error) && ['store_unavailable', 'store_open_failed', 'store_full'].includes(error.code)
}

/** The answer to a request whose handler threw. Nothing of the error: it is the application's, and not for callers. */
export function handlerFailed(): Answer {
  return problem('idempotency_handler_failed', {
    detail:
      'the operation was cut short by an error, and whether it took effect is unknown: what was sent with a key may be sent again with it',
  })
}

function replay(outcome: Outcome): Answer {
  const answer = decodeAnswer(outcome)
  if (answer === undefined)
    return misconfigured(
      'the outcome of this operation was not stored by an HTTP door: resolve an HTTP operation with storedAnswer(…), and give other operations other names',
    )
  return { ...answer, headers: [...answer.headers, [replayedHeader, 'true']] }
}

function notKept(outcome: Outcome): Answer {
  const head = decodeAnswer(outcome)
  const location = head?.headers.find(isLocation)?.[1]
  return problem('idempotency_outcome_not_kept', {
    detail: 'the operation ran, and its answer was too large to be kept; nothing was done now: look at what it did',
    members: { ...(head && { originalStatus: head.status }), ...(location !== undefined && { location }) },
  })
}

function busy({ retryAfterMs, attempted }: Extract<ExecuteResult, { state: 'busy' }>): Answer {
  const done = attempted
    ? 'this call began it, and lost it to another one'
    : 'another call has begun it, and nothing was done for this one'
  return problem('idempotency_in_progress', {
    detail: `the operation is still running; ${done}: ask again with the same key`,
    retryAfterMs,
  })
}

function attemptTimeout(): Answer {
  return problem('idempotency_attempt_timeout', {
    detail: 'the operation has not ended in time, and whether it takes effect is unknown: ask again with the same key',
    retryAfterMs: limits.retryAfterMs,
  })
}

/** The store's own words are not for callers: they may name hosts and files. */
function storeUnavailable(error: OncewardError): Answer {
  const why = error instanceof ClosedError ? 'the server is shutting down' : 'the store of idempotency keys does not answer'
  return problem('idempotency_store_unavailable', {
    detail: `${why}; nothing was done: ask again with the same key`,
    retryAfterMs: limits.retryAfterMs,
  })
}
