import { hmac } from './hmac.ts'
import { OptionsError } from '../core/errors.ts'
import type { Sha256 } from '../core/operation.ts'

/** A request, as far as a preset looks at it: of Node, with headers as members, or of the Fetch standard. */
export interface WithHeaders {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>> | Pick<Headers, 'get'>
}

/** One scope for all callers: keys are shared by everybody who can reach the route. Only where everybody may see every answer. */
export function everyone(): string {
  return 'everyone'
}

/**
 * One scope for each value of the `Authorization` header, as HMAC-SHA-256 of it: nothing in the store gives the credentials away. A caller
 * whose token is refreshed is another caller, and its retry with the new token runs again: prefer the account that authentication
 * found. Requests without the header share the scope `anonymous`.
 * @param options a secret of at least 16 characters, the same on every server; under another one every caller is a new one
 * @throws OptionsError for a missing or short secret
 */
export function byAuthorization(options: { readonly secret: string }): (request: WithHeaders, sha256: Sha256) => string {
  const { secret } = options
  if (typeof secret !== 'string' || secret.length < 16)
    throw new OptionsError('secret must have at least 16 characters: give a random one, the same on every server')
  return ({ headers }, sha256) => {
    const authorization = isStandard(headers) ? (headers.get('authorization') ?? undefined) : headers['authorization']
    return authorization === undefined ? 'anonymous' : `authorization:${hmac(secret, String(authorization), sha256)}`
  }
}

function isStandard(headers: WithHeaders['headers']): headers is Pick<Headers, 'get'> {
  return typeof headers['get'] === 'function'
}
