import { consumed, earlyData, keyInvalid, keyMissing, noScope, tooLarge } from './refusals.ts'
import { limits } from '../core/limits.ts'
import { ownFingerprint, requestFingerprint, type RequestBody } from './request-fingerprint.ts'
import { parseKey } from '../core/key-syntax.ts'
import { preferredWaitMs } from './prefer.ts'
import type { Answer } from './answer.ts'
import type { ExecuteRequest } from '../engine/once.ts'
import type { HttpPolicy } from './policy.ts'

/** A request as every framework can tell it. */
export interface HttpCall<Request> {
  /** The framework's own request, for the application's functions. */
  readonly request: Request
  readonly method: string
  /** Path and query as the client sent them. */
  readonly target: string
  /** The values of a header, joined by `', '`; undefined where it was not sent. @param name in lower case */
  header(name: string): string | undefined
  /** How often a header was sent. @param name in lower case */
  headerCount(name: string): number
  /** The body, or why it cannot be compared; called at most once. */
  body(bytesMax: number): RequestBody | BodyRefusal | Promise<RequestBody | BodyRefusal>
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

/** Why a body cannot be compared: it is larger than may be read; somebody has read it and left nothing; or the client went away. */
export type BodyRefusal = 'too_large' | 'consumed' | 'aborted'

/** What is decided of a request before anything is asked of it but its headers. */
export type Admission =
  | { readonly state: 'pass' }
  | { readonly state: 'refused'; readonly answer: Answer }
  /** `sent`: the header as it was sent, to be echoed. */
  | { readonly state: 'admitted'; readonly key: string; readonly sent: string }

/** What is decided once scope and body are known. */
export type Preparation =
  | { readonly state: 'ready'; readonly request: ExecuteRequest }
  | { readonly state: 'refused'; readonly answer: Answer }
  | { readonly state: 'aborted' }

const pass: Admission = { state: 'pass' }

/** Method, presence of the key, early data, the key's syntax: in this order. */
export function admit<Request>(policy: HttpPolicy<Request>, call: HttpCall<Request>): Admission {
  if (!policy.methods.has(call.method)) return pass
  const sent = call.header(policy.headerLower)
  if (sent === undefined) return policy.required ? { state: 'refused', answer: keyMissing(policy.header) } : pass
  // RFC 8470 §5.1: whatever its value, the header counts as 1.
  if (policy.earlyData === 'refuse' && call.header('early-data') !== undefined) return { state: 'refused', answer: earlyData() }
  // A header sent twice comes joined by a comma, which inside quotes could be part of a key.
  if (sent.includes(',') && call.headerCount(policy.headerLower) > 1)
    return { state: 'refused', answer: keyInvalid(policy.header, 'it was sent more than once') }
  const parsed = parseKey(sent, policy)
  return parsed.ok
    ? { state: 'admitted', key: parsed.key, sent }
    : { state: 'refused', answer: keyInvalid(policy.header, parsed.reason) }
}

/** Whose operation it is, and with what input. Rejects with what the application's functions throw. */
export async function prepare<Request>(policy: HttpPolicy<Request>, call: HttpCall<Request>, key: string): Promise<Preparation> {
  const { sha256 } = policy.once
  const given: unknown = policy.scope(call.request, sha256)
  // Awaited only where there is something to wait for: a turn of the queue of microtasks for every request else.
  const scope: unknown = isPromise(given) ? await given : given
  if (typeof scope !== 'string' || scope === '') return { state: 'refused', answer: noScope(scope) }
  const question = call.target.indexOf('?')
  const path = pathOf(question < 0 ? call.target : call.target.slice(0, question))
  const query = question < 0 ? '' : call.target.slice(question + 1)
  const digest = await fingerprintOf(policy, call, path, query)
  if (typeof digest !== 'string') return digest
  const name = short(`${call.method} ${path}`, limits.nameLengthMax, sha256)
  const operation = { scope: short(scope, limits.scopeLengthMax, sha256), name, key, fingerprint: digest }
  return { state: 'ready', request: { ...policy.operation, ...operation, wait: waitMs(policy, call), signal: call.signal } }
}

async function fingerprintOf<Request>(
  policy: HttpPolicy<Request>,
  call: HttpCall<Request>,
  path: string,
  query: string,
): Promise<string | Exclude<Preparation, { state: 'ready' }>> {
  const { fingerprint: rule, requestBytesMax } = policy
  const { sha256 } = policy.once
  if (typeof rule === 'function') return ownFingerprint(call.method, path, await rule(call.request), sha256)
  const found = rule.includes('body') ? call.body(requestBytesMax) : new Uint8Array(0)
  const body = isPromise(found) ? await found : found
  if (typeof body === 'string') return refusedBody(body, policy)
  const contentType = call.header('content-type') ?? ''
  const contentEncoding = call.header('content-encoding') ?? ''
  return requestFingerprint({ method: call.method, path, query, contentType, contentEncoding, body }, rule, sha256)
}

function refusedBody<Request>(why: BodyRefusal, policy: HttpPolicy<Request>): Exclude<Preparation, { state: 'ready' }> {
  switch (why) {
    case 'aborted':
      return { state: 'aborted' }
    case 'too_large':
      return { state: 'refused', answer: tooLarge(policy.requestBytesMax) }
    case 'consumed':
      return { state: 'refused', answer: consumed() }
  }
}

/** A client may shorten the wait, not lengthen it: it would keep what it likes of the server's places for waiters. */
function waitMs<Request>({ waitMs: most }: HttpPolicy<Request>, call: HttpCall<Request>): number {
  const prefer = call.header('prefer')
  return prefer === undefined ? most : Math.min(most, preferredWaitMs(prefer) ?? most)
}

/** A request target in absolute form (RFC 9112 §3.2.2) names the same resource as its path alone. */
function pathOf(target: string): string {
  if (target.startsWith('/')) return target
  return target.replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '') || '/'
}

/** A longer word enters by its digest, with its beginning for people. */
function short(word: string, lengthMax: number, sha256: (text: string) => string): string {
  if (word.length <= lengthMax) return word
  return `${word.slice(0, lengthMax - 72).toWellFormed()}…sha256:${sha256(word)}`
}

function isPromise<Value>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof value === 'object' && value !== null && 'then' in value
}
