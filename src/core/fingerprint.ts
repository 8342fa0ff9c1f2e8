import { isBytes } from './bytes.ts'
import type { Sha256 } from './operation.ts'

/**
 * The fingerprint of an input: SHA-256 (64 hexadecimal digits) over its parts, each behind its kind and its length, so that no two lists of
 * parts share one. Bytes enter by their own digest; a list of strings takes one digest call.
 */
export function fingerprint(parts: readonly (string | Uint8Array)[], sha256: Sha256): string {
  let text = ''
  for (const part of parts) text += isBytes(part) ? `b${sha256(part)}` : taggedText(part)
  return sha256(text)
}

/** UTF-8 has no form for a lone surrogate and would make U+FFFD of it: such a text enters as JSON writes it, under its own tag. */
function taggedText(text: string): string {
  if (text.isWellFormed()) return `s${text.length}:${text}`
  const escaped = JSON.stringify(text)
  return `u${escaped.length}:${escaped}`
}
