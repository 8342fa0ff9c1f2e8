import { exposing } from './marker.ts'
import type { Answer, AnswerHead, HeaderLine } from './answer.ts'
import type { HeaderNames } from './unreplayed-headers.ts'

const exposedHeader = 'access-control-expose-headers'

/** Statuses that the Fetch standard allows no body (§ null body status), not even an empty one. */
const bodiless = new Set([101, 204, 205, 304])

/** What the door adds to an answer. */
export interface Dress {
  /** Set for the present request by layers before this one. */
  readonly present: Headers | undefined
  /** The header that carries the key, as it was sent; undefined where none counts. */
  readonly key: HeaderLine | undefined
}

/**
 * What a handler returned, if it can be sent as an answer: of any implementation, so that it is known by its members.
 * @throws TypeError that says what it is and what to return
 */
export function checkedResponse(given: unknown): Response {
  if (!isResponse(given))
    throw new TypeError(`the handler returned ${given === null ? 'null' : `a value of type ${typeof given}`}: return a Response`)
  if (given.status === 0)
    throw new TypeError('the handler returned Response.error(), which cannot be sent: return a Response with a status')
  if (given.status < 200)
    throw new TypeError(`the handler returned status ${given.status}, which is no final answer: leave it out of idempotent()`)
  return given
}

/**
 * The body of a handler's answer, that nobody has read.
 * @throws TypeError that says what to do
 */
export function unreadBody({ body, bodyUsed }: Response): ReadableStream<unknown> | null {
  if (!bodyUsed && body?.locked !== true) return body
  throw new TypeError('the handler returned a Response whose body has been read: return a new one, or clone it before it is read')
}

/** Status and headers of a response as they are remembered: all that is set, but for what belongs to this one exchange. */
export function headOf({ status, headers }: Response, unreplayed: HeaderNames): AnswerHead {
  // Of RFC 9110 §7.6.1: what `Connection` names is of this connection too.
  const listed = (headers.get('connection') ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
  const lines = [...headers].filter(([name]) => !unreplayed.has(name) && !listed.includes(name))
  return { status, headers: lines }
}

/** The handler's own answer, with another body: the one that has been read, or a stream of what is still to come. */
export function ownResponse(own: Response, body: Uint8Array | ReadableStream | null, dress: Dress): Response {
  const { status, statusText } = own
  return new Response(bodiless.has(status) ? null : body, {
    status,
    statusText,
    headers: dressed(new Headers(own.headers), dress),
  })
}

/** An answer that is not the handler's: what is set for the present request stays, unless the answer says otherwise. */
export function givenResponse({ status, headers: lines, body }: Answer, dress: Dress): Response {
  const headers = new Headers(dress.present)
  headers.delete('content-length')
  for (const [name] of lines) headers.delete(name)
  for (const [name, value] of lines) headers.append(name, value)
  const isEmpty = body.length === 0 || bodiless.has(status)
  // Said where a server would have to find out; of a body with bytes it knows.
  if (isEmpty && !bodiless.has(status)) headers.set('content-length', '0')
  return new Response(isEmpty ? null : body, { status, headers: dressed(headers, dress) })
}

/** For a client that has gone before it had an answer: what servers write in their logs of it. */
export function clientGone(): Response {
  return new Response(null, { status: 499 })
}

function dressed(headers: Headers, { key }: Dress): Headers {
  if (key !== undefined) headers.set(...key)
  const exposed = headers.get(exposedHeader)
  if (exposed !== null) headers.set(exposedHeader, exposing(exposed))
  return headers
}

function isResponse(given: unknown): given is Response {
  return (
    typeof given === 'object' &&
    given !== null &&
    'status' in given &&
    'headers' in given &&
    'body' in given &&
    typeof given.status === 'number'
  )
}
