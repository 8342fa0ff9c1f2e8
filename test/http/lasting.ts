import type { Answered } from '../../src/testing/http/ask.ts'

const changing = [
  'date',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'idempotency-key',
  'idempotent-replayed',
]

/** What an answer has in common with its replays, and with the answer of a handler without the layer. */
export function lasting({ status, headers, body }: Answered): unknown {
  const kept = Object.entries(headers).filter(([name]) => !changing.includes(name))
  return { status, headers: Object.fromEntries(kept), body: body.toString('latin1') }
}
