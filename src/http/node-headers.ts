import { exposing } from './marker.ts'
import { hasBody } from './answer-copy.ts'
import type { Answer, AnswerHead, HeaderLine } from './answer.ts'
import type { HeaderNames } from './unreplayed-headers.ts'
import type { NodeHeader, NodeResponse } from './node-types.ts'

const exposedHeader = 'Access-Control-Expose-Headers'

/** Status and headers of a response as they are remembered: all that is set, but for what belongs to this one exchange. */
export function headOf(response: NodeResponse, status: number, unreplayed: HeaderNames): AnswerHead {
  const listed = connectionListed(response)
  const headers: HeaderLine[] = []
  for (const name of response.getRawHeaderNames?.() ?? response.getHeaderNames()) {
    const lower = name.toLowerCase()
    if (unreplayed.has(lower) || listed.includes(lower)) continue
    const value = response.getHeader(name)
    if (Array.isArray(value)) for (const line of value) headers.push([name, String(line)])
    else headers.push([name, String(value)])
  }
  return { status, headers }
}

/** What `writeHead` was given beside the status, set as headers: what is remembered is then read from one place. */
export function setGiven(response: NodeResponse, given: unknown): void {
  if (typeof given !== 'object' || given === null) return
  if (!Array.isArray(given)) return setNamed(response, given)
  const pairs: readonly unknown[] = given
  setPairs(response, Array.isArray(pairs[0]) ? pairs.flat() : pairs)
}

/** Gives an answer that is not the handler's: what is set for the present request stays, unless the answer says otherwise. */
export function setAnswer(response: NodeResponse, { status, headers, body }: Answer): void {
  response.statusCode = status
  const lines = new Map<string, NodeHeader>()
  for (const [name, value] of headers) lines.set(name, withLine(lines.get(name), value))
  for (const [name, value] of lines) response.setHeader(name, value)
  if (hasBody(status)) response.setHeader('Content-Length', body.length)
  expose(response)
}

/** Lets a page of another origin read the marker, where the application lets it read anything. */
export function expose(response: NodeResponse): void {
  const exposed = response.getHeader(exposedHeader)
  if (exposed !== undefined) response.setHeader(exposedHeader, exposing(String(exposed)))
}

function withLine(before: NodeHeader | undefined, value: string): NodeHeader {
  if (before === undefined) return value
  return typeof before === 'object' ? [...before, value] : [String(before), value]
}

/** Of RFC 9110 §7.6.1: what `Connection` names is of this connection too. */
function connectionListed(response: NodeResponse): readonly string[] {
  const connection = response.getHeader('connection')
  return connection === undefined
    ? []
    : String(connection)
        .toLowerCase()
        .split(',')
        .map((name) => name.trim())
}

function setNamed(response: NodeResponse, given: object): void {
  for (const name of Object.keys(given)) response.setHeader(name, Reflect.get(given, name))
}

/** As Node does: what is given replaces what was set, and a name given twice is sent twice. */
function setPairs(response: NodeResponse, pairs: readonly unknown[]): void {
  for (let index = 0; index < pairs.length; index += 2) response.removeHeader(String(pairs[index]))
  for (let index = 0; index < pairs.length; index += 2) response.appendHeader(String(pairs[index]), pairs[index + 1])
}
