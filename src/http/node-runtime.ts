/** What the adapters for Node's own request and response take from the runtime, in one place: its buffers, its loop, its console. */

/** A chunk's bytes, as a copy: whoever wrote it may use its buffer again. @param encoding of a string; UTF-8 where it is no encoding */
export function copiedBytes(chunk: string | Uint8Array, encoding: unknown): Uint8Array {
  if (typeof chunk !== 'string') return Buffer.from(chunk)
  return Buffer.from(chunk, typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8')
}

/** Calls back when what is ready now has been dealt with. */
export function endOfTurn(callback: () => void): void {
  // oxlint-disable-next-line eslint/no-restricted-globals -- this file is Node's; the door's other files take it from here
  setImmediate(callback)
}

/** Tells a person of an error that no caller can be told of. */
export function reportToConsole(error: unknown): void {
  // oxlint-disable-next-line eslint/no-console -- where the application gave no onError, an error must not go unseen
  console.error(error)
}
