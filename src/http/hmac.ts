import type { Sha256 } from '../core/operation.ts'

/** Bytes of one block of SHA-256. */
const blockBytes = 64

const encoder = new TextEncoder()

/** HMAC-SHA-256 (RFC 2104) of the text's UTF-8, in lower-case hexadecimal. */
export function hmac(secret: string, text: string, sha256: Sha256): string {
  const key = keyBlock(encoder.encode(secret), sha256)
  const inner = sha256(joined(masked(key, 0x36), encoder.encode(text)))
  return sha256(joined(masked(key, 0x5c), Uint8Array.from(unhex(inner))))
}

/** A secret longer than a block enters by its digest; `Uint8Array.set` leaves zeros behind a shorter one. */
function keyBlock(secret: Uint8Array, sha256: Sha256): Uint8Array {
  const block = new Uint8Array(blockBytes)
  block.set(secret.length > blockBytes ? unhex(sha256(secret)) : secret)
  return block
}

function masked(block: Uint8Array, mask: number): Uint8Array {
  return block.map((byte) => byte ^ mask)
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}

function unhex(digits: string): readonly number[] {
  return digits.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? []
}
