import { isBytes, textOf, utf8 } from './bytes.ts'
import { Refusal } from './errors.ts'
import type { Outcome } from './record.ts'

/** What a stored outcome says, in JavaScript's terms. */
export type Decoded =
  | { readonly state: 'value'; readonly value: unknown }
  | { readonly state: 'refusal'; readonly refusal: Refusal }
  | { readonly state: 'not_kept' }

const noBytes = new Uint8Array(0)

/**
 * A handler's value as a store keeps it: `undefined` as nothing, bytes as they are (copied: the handler may use its buffer again), anything
 * else as JSON. A value that JSON cannot say (a cycle, a bigint, a function, a `toJSON` that throws) is completed as not kept.
 */
export function encodeValue(value: unknown): Outcome {
  if (value === undefined) return { kept: true, meta: 'none', body: noBytes }
  if (isBytes(value)) return { kept: true, meta: 'bytes', body: Uint8Array.from(value) }
  return encodeJson('json', value)
}

/** A refusal as a store keeps it; not kept when its details cannot be serialised. */
export function encodeRefusal({ status, message, details }: Refusal): Outcome {
  return encodeJson('refusal', { status, message, details })
}

/** The outcome of an operation that ran, where what it ended with cannot be kept. */
export function notKept(meta = ''): Outcome {
  return { kept: false, meta, body: noBytes }
}

/**
 * What an outcome of this file's encoders says. Bytes come as a fresh copy, so that no caller sees another's changes.
 * @throws Error for an outcome that some other encoder stored
 */
export function decodeOutcome({ kept, meta, body }: Outcome): Decoded {
  if (!kept) return { state: 'not_kept' }
  switch (meta) {
    case 'none':
      return { state: 'value', value: undefined }
    case 'bytes':
      return { state: 'value', value: Uint8Array.from(body) }
    case 'json':
      return { state: 'value', value: parsed(body) }
    case 'refusal':
      return { state: 'refusal', refusal: decodeRefusal(parsed(body)) }
    default:
      throw new Error(
        `the outcome is stored in a form ('${meta.slice(0, 40)}') that is not known here: another door or a newer version stored it; ` +
          'ask for it through that door, or update',
      )
  }
}

/** An outcome's size for limits. Bytes, where `meta` counts one a UTF-16 unit: it is ASCII but for what a header may hold. */
export function outcomeBytes({ meta, body }: Outcome): number {
  return meta.length + body.byteLength
}

function encodeJson(meta: string, value: unknown): Outcome {
  const json = stringified(value)
  return json === undefined ? notKept() : { kept: true, meta, body: utf8(json) }
}

function stringified(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    // The handler's effect has happened: a value that cannot be said must not look like an attempt that failed.
    return undefined
  }
}

function parsed(body: Uint8Array): unknown {
  return JSON.parse(textOf(body))
}

function decodeRefusal(stored: unknown): Refusal {
  const isRefusal = typeof stored === 'object' && stored !== null && 'status' in stored && 'message' in stored
  if (!isRefusal) throw new Error('the stored refusal has no status and message: the store is damaged')
  return new Refusal(Number(stored.status), String(stored.message), 'details' in stored ? stored.details : undefined)
}
