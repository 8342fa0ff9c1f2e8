import { encoded } from '../core/encoded.ts'
import { InputError } from '../core/errors.ts'
import { isBytes } from '../core/bytes.ts'
import type { Outcome } from '../core/record.ts'

/** One line of a header; a name occurs as often as it was sent. */
export type HeaderLine = readonly [name: string, value: string]

/** An answer in bytes, whatever framework gives it. */
export interface Answer {
  readonly status: number
  readonly headers: readonly HeaderLine[]
  readonly body: Uint8Array
}

/** Status and headers of an answer. */
export type AnswerHead = Omit<Answer, 'body'>

const encoder = new TextEncoder()
const noBytes = new Uint8Array(0)

/** An answer as a store keeps it: status and headers as JSON in `meta`, the body's bytes as they are. */
export function encodeAnswer({ status, headers, body }: Answer): Outcome {
  return { kept: true, meta: JSON.stringify({ status, headers }), body }
}

/** An answer too large to keep: of it only the status stays, and where to look for what it made. */
export function encodeUnkept({ status, headers }: AnswerHead): Outcome {
  return { kept: false, meta: JSON.stringify({ status, headers: headers.filter(isLocation) }), body: noBytes }
}

/** Whether a header says where the thing is that was made (RFC 9110 §10.2.2). */
export function isLocation([name]: HeaderLine): boolean {
  return name.toLowerCase() === 'location'
}

/**
 * What a stored outcome says in this door's terms; undefined for one that another door stored, or that was resolved with a plain value.
 * The body is the store's own, and empty when the outcome is not kept.
 */
export function decodeAnswer({ meta, body }: Outcome): Answer | undefined {
  const head = meta.startsWith('{') ? headOf(parsed(meta)) : undefined
  return head && { ...head, body }
}

/**
 * An answer for an operator's `once.resolve(operation, { outcome: storedAnswer({ status: 201, body: '…' }) }, …)`: duplicates then get it as
 * if the handler had given it.
 * @param answer a status from 200 to 599; headers by name; a body in bytes, or as text (UTF-8)
 * @throws InputError that names what is wrong
 */
export function storedAnswer(answer: {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
}): Outcome {
  const { status, headers = {}, body = noBytes } = answer
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw new InputError(`an answer's status is 200 to 599, not ${status}: give the one that callers should get`)
  if (typeof body !== 'string' && !isBytes(body))
    throw new InputError('an answer has a body of text or bytes: serialise it first')
  return encoded(encodeAnswer({ status, headers: headerLines(headers), body: bytesOf(body) }))
}

/** Copied, because a caller may use its buffer again. */
function bytesOf(body: string | Uint8Array): Uint8Array {
  return typeof body === 'string' ? encoder.encode(body) : Uint8Array.from(body)
}

function headerLines(headers: Readonly<Record<string, string | readonly string[]>>): readonly HeaderLine[] {
  return Object.entries(headers).flatMap(([name, values]) => {
    checkHeader(name)
    return [values].flat().map((value): HeaderLine => [name, headerValue(name, value)])
  })
}

function checkHeader(name: string): void {
  if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) throw new InputError(`'${name}' is no header name: give letters, digits and hyphens`)
}

/** Of RFC 9110 §5.5: anything else would be a header more, or no answer at all, when it is sent. */
function headerValue(name: string, value: unknown): string {
  if (typeof value === 'string' && /^[\t\x20-\x7e\x80-\xff]*$/.test(value)) return value
  throw new InputError(`header ${name} has a value that cannot be sent: give text without control characters, in Latin-1`)
}

function parsed(meta: string): unknown {
  try {
    return JSON.parse(meta)
  } catch {
    // Not this door's form; the caller says so.
    return undefined
  }
}

function headOf(meta: unknown): AnswerHead | undefined {
  if (typeof meta !== 'object' || meta === null || !('status' in meta) || !('headers' in meta)) return undefined
  const { status, headers } = meta
  return typeof status === 'number' && Array.isArray(headers) ? { status, headers: headers.filter(isHeaderLine) } : undefined
}

function isHeaderLine(line: unknown): line is HeaderLine {
  return Array.isArray(line) && line.length === 2 && typeof line[0] === 'string' && typeof line[1] === 'string'
}
