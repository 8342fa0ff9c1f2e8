import type { Answer, HeaderLine } from './answer.ts'
import type { Refusal } from '../core/errors.ts'

/** What a refusal by the HTTP door is known by: stable, for programs. `docs/errors.md` has a section for each. */
export type ProblemCode =
  | 'idempotency_attempt_timeout'
  | 'idempotency_early_data'
  | 'idempotency_handler_failed'
  | 'idempotency_in_progress'
  | 'idempotency_key_invalid'
  | 'idempotency_key_missing'
  | 'idempotency_key_reused'
  | 'idempotency_misconfigured'
  | 'idempotency_outcome_expired'
  | 'idempotency_outcome_not_kept'
  | 'idempotency_outcome_unknown'
  | 'idempotency_request_too_large'
  | 'idempotency_store_unavailable'

/** What is the same for every refusal with one code. */
interface Kind {
  readonly status: number
  readonly title: string
  /** Whether the same request, with the same key, may be sent again as it is. */
  readonly retryable: boolean
}

const kinds: Readonly<Record<ProblemCode, Kind>> = {
  idempotency_attempt_timeout: { status: 504, title: 'The operation did not end in time', retryable: true },
  idempotency_early_data: { status: 425, title: 'The request came as early data', retryable: true },
  idempotency_handler_failed: { status: 500, title: 'The operation failed', retryable: true },
  idempotency_in_progress: { status: 409, title: 'The operation is still running', retryable: true },
  idempotency_key_invalid: { status: 400, title: 'The idempotency key is not valid', retryable: false },
  idempotency_key_missing: { status: 400, title: 'The idempotency key is missing', retryable: false },
  idempotency_key_reused: { status: 422, title: 'The idempotency key was used for another request', retryable: false },
  idempotency_misconfigured: { status: 500, title: 'Idempotency is not set up for this request', retryable: false },
  idempotency_outcome_expired: { status: 410, title: 'The outcome is no longer kept', retryable: false },
  idempotency_outcome_not_kept: { status: 409, title: 'The operation ran, but its outcome was not kept', retryable: false },
  idempotency_outcome_unknown: { status: 409, title: 'Whether the operation took effect is unknown', retryable: false },
  idempotency_request_too_large: { status: 413, title: 'The request is too large to be compared', retryable: false },
  idempotency_store_unavailable: { status: 503, title: 'Idempotency keys cannot be looked up', retryable: true },
}

/** What one refusal adds to its kind. */
export interface ProblemDetails {
  /** For people: what happened, and what to do. */
  readonly detail: string
  /** In place of the kind's. */
  readonly status?: number
  readonly retryAfterMs?: number
  readonly headers?: readonly HeaderLine[]
  /** Further members of the problem (RFC 9457 §3.2). */
  readonly members?: Readonly<Record<string, unknown>>
}

const encoder = new TextEncoder()

/** Where a code is explained. A type is an identifier first (RFC 9457 §3.1.1): it does not change with the version. */
export function problemType(code: string): string {
  return `https://github.com/onceward/onceward/blob/main/docs/errors.md#${code}`
}

/** A refusal as `application/problem+json` (RFC 9457). */
export function problem(code: ProblemCode, details: ProblemDetails): Answer {
  const { title, retryable, status: usual } = kinds[code]
  const { detail, status = usual, retryAfterMs, headers = [], members } = details
  return {
    status,
    headers: retryAfterMs === undefined ? withType(headers) : [...withType(headers), retryAfter(retryAfterMs)],
    body: encoded({ type: problemType(code), title, status, detail, code, retryable, ...members }),
  }
}

/** A handler's refusal: its outcome, which is remembered like any other. */
export function refusalAnswer({ status, message, code, details }: Refusal): Answer {
  const members = details === undefined ? {} : { details }
  const body = { type: problemType(code), title: 'The operation was refused', status, detail: message, code, retryable: false }
  return { status, headers: withType([]), body: encoded({ ...body, ...members }) }
}

function withType(headers: readonly HeaderLine[]): readonly HeaderLine[] {
  return [['Content-Type', 'application/problem+json'], ...headers]
}

/** Whole seconds (RFC 9110 §10.2.3), at least one: 0 would ask for a storm. */
function retryAfter(ms: number): HeaderLine {
  return ['Retry-After', String(Math.max(1, Math.ceil(ms / 1_000)))]
}

function encoded(body: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(body))
}
