import type { NodeHeader, NodeResponse } from './node-types.ts'

// Node has no public way to take back headers that are rendered but not sent, or to keep a response going whose client is gone. These
// are the fields of its OutgoingMessage (lib/_http_outgoing.js) that hold that state; Node 22 to 26 have them. Where one should be
// missing, the answer is cut off instead, which is always safe: the client asks again and has the outcome.

/** Takes back headers that are rendered and not sent, and sets those again that were set before. False where that cannot be done. */
export function unrender(response: NodeResponse, before: Readonly<Record<string, NodeHeader | undefined>>): boolean {
  Object.assign(response, { _header: null })
  if (response.headersSent) return false
  for (const name of response.getHeaderNames()) if (before[name] === undefined) response.removeHeader(name)
  for (const [name, value] of Object.entries(before)) if (response.getHeader(name) !== value) response.setHeader(name, value)
  // What rendering, and removing a header, leave behind.
  Object.assign(response, { _hasBody: true, _contentLength: null, _removedContLen: false, _removedTE: false })
  Object.assign(response, { chunkedEncoding: false, sendDate: true, statusMessage: undefined })
  return true
}

/** Lets a handler go on whose answer goes nowhere any more: as long as a response counts as closed, streams refuse to write to it. */
export function keepOpen(response: NodeResponse): void {
  Object.assign(response, { destroyed: false, _closed: false })
  // A source that waits for `drain` is told by the caller; one that begins now must not wait.
  Object.defineProperty(response, 'writableNeedDrain', { configurable: true, value: false })
}

/** The end of `keepOpen`. */
export function letClose(response: NodeResponse): void {
  Object.assign(response, { destroyed: true, _closed: true })
}

/** Makes a response look ended whose end is held back: who asks `writableEnded` before it answers must not answer twice. */
export function markEnded(response: NodeResponse): void {
  Object.defineProperty(response, 'writableEnded', ended)
}

/** Makes a response look open that was ended with another answer than its handler's. */
export function markOpen(response: NodeResponse): void {
  Object.defineProperty(response, 'writableEnded', { ...ended, value: false })
}

const ended = { configurable: true, enumerable: true, value: true, writable: true }

/** Whether the application itself has destroyed the connection: the client has neither gone nor been lost. */
export function isCutHere({ socket }: NodeResponse): boolean {
  if (socket === null || !socket.destroyed || socket.readableEnded || socket.errored) return false
  // A server that is closing cuts connections off whose handlers still run, and may finish.
  return socket.server?.listening === true
}
