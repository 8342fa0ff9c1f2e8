import { problem, problemType } from './problem.ts'
import type { Answer } from './answer.ts'

/** Where a key is required; the link leads to its explanation, as the draft asks (§2.7). */
export function keyMissing(header: string): Answer {
  const link = `<${problemType('idempotency_key_missing')}>; rel="describedby"; type="text/html"`
  return problem('idempotency_key_missing', {
    detail: `send an ${header} header with a value of your own for each operation, a UUID say, and the same one when you repeat it`,
    headers: [['Link', link]],
  })
}

/** @param reason a clause to stand behind a colon */
export function keyInvalid(header: string, reason: string): Answer {
  return problem('idempotency_key_invalid', { detail: `the ${header} header is not valid: ${reason}` })
}

/** RFC 8470 §5.2. */
export function earlyData(): Answer {
  return problem('idempotency_early_data', {
    detail: 'a request sent before the TLS handshake was done can be sent again by others: repeat it after the handshake',
  })
}

/** The body is larger than may be read to compare it. */
export function tooLarge(bytesMax: number): Answer {
  return problem('idempotency_request_too_large', {
    detail:
      `the body is larger than the ${bytesMax} bytes that are read to compare it; nothing was done: send less, ` +
      'or have the server raise requestBytesMax or compare by a fingerprint of its own',
  })
}

/** The body has been read, and nobody left what it was. */
export function consumed(): Answer {
  return misconfigured(
    'something read the request body before the idempotency layer and left nothing to compare: put idempotent() before it, ' +
      'have it leave the parsed body in request.body, or give idempotent() a fingerprint function',
  )
}

/** The application did not say whose operation it is: to guess would let callers see each other. */
export function noScope(scope: unknown): Answer {
  return misconfigured(
    `scope() returned ${scope === '' ? 'an empty string' : `a value of type ${typeof scope}`}: return the caller's account as a string, ` +
      'and refuse a caller without one before this layer',
  )
}

/** The application has to be mended; the detail says how. */
export function misconfigured(detail: string): Answer {
  return problem('idempotency_misconfigured', { detail })
}
