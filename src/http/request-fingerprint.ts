import { canonicalJson } from '../core/canonical-json.ts'
import { canonicalValue } from '../core/canonical-value.ts'
import { fingerprint } from '../core/fingerprint.ts'
import { isBytes } from '../core/bytes.ts'
import { mediaType, type MediaType } from './media-type.ts'
import { multipartParts } from './multipart.ts'
import type { FingerprintPart } from './policy.ts'
import type { Sha256 } from '../core/operation.ts'

/** A request's body as it is compared: the bytes, or behind a body parser what the parser made of them, all that the handler sees. */
export type RequestBody = Uint8Array | { readonly parsed: unknown }

/** What tells a retry from a reuse of the key. */
export interface RequestInput {
  readonly method: string
  readonly path: string
  /** Without the question mark; as sent. */
  readonly query: string
  /** `Content-Type` and `Content-Encoding`, empty where absent. */
  readonly contentType: string
  readonly contentEncoding: string
  readonly body: RequestBody
}

type Parts = (string | Uint8Array)[]

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The fingerprint of a request by those of its parts that count: 64 hexadecimal digits. */
export function requestFingerprint(input: RequestInput, counted: readonly FingerprintPart[], sha256: Sha256): string {
  const type = mediaType(input.contentType)
  const parts: Parts = [input.method, input.path]
  if (counted.includes('query')) parts.push('query', sortedQuery(input.query))
  if (counted.includes('mediaType')) parts.push('mediaType', type.text, input.contentEncoding.toLowerCase())
  if (counted.includes('body')) parts.push('body', ...bodyParts(input, type))
  return fingerprint(parts, sha256)
}

/** The fingerprint of a request by what the application's own function made of it. */
export function ownFingerprint(method: string, path: string, input: unknown, sha256: Sha256): string {
  return fingerprint([method, path, 'own', canonicalValue(input)], sha256)
}

/** Parameters by name; those of one name in the order sent. */
export function sortedQuery(query: string): string {
  if (!query.includes('&')) return query
  const parameters = query.split('&').map((text) => ({ text, name: text.split('=', 1).join('') }))
  parameters.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  return parameters.map(({ text }) => text).join('&')
}

function bodyParts({ body, contentEncoding }: RequestInput, type: MediaType): Parts {
  if (isBytes(body)) return contentEncoding === '' || contentEncoding === 'identity' ? bytesParts(body, type) : ['bytes', body]
  const { parsed } = body
  // Parsers have undone the encoding, and express.raw() and express.text() have left the media type's form alone.
  if (isBytes(parsed)) return bytesParts(parsed, type)
  if (typeof parsed === 'string') return textParts(parsed, type)
  return ['value', canonicalValue(parsed)]
}

function bytesParts(body: Uint8Array, type: MediaType): Parts {
  switch (type.kind) {
    case 'json': {
      const canonical = jsonOf(body)
      return canonical === undefined ? ['bytes', body] : ['value', canonical]
    }
    case 'multipart': {
      const parts = type.boundary === undefined ? undefined : multipartParts(body, type.boundary)
      return parts === undefined ? ['bytes', body] : ['parts', ...parts.flatMap((part) => [part.headers, part.body])]
    }
    case 'other':
      return ['bytes', body]
  }
}

function textParts(text: string, type: MediaType): Parts {
  const canonical = type.kind === 'json' ? canonicalJson(text) : undefined
  return canonical === undefined ? ['text', text] : ['value', canonical]
}

/** Undefined for bytes that are not UTF-8, or not JSON with one meaning. */
function jsonOf(body: Uint8Array): string | undefined {
  if (body.length === 0) return undefined
  try {
    return canonicalJson(decoder.decode(body))
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}
