import { startLossyProxy, type Fate, type Seen } from './lossy-proxy.ts'
import { serveFixture, type Served } from './servers.ts'
import type { Sending } from './client-behaviours.ts'

/** What became of one call of a client. */
export interface Outcome {
  /** Whether the caller had an answer rather than an error. */
  readonly answered: boolean
  readonly requests: number
  readonly effects: number
  readonly seen: readonly Seen[]
}

/** How the call meets its server. */
export interface Meeting {
  readonly fates?: readonly Fate[]
  readonly serve?: () => Promise<Served>
}

/** Has a client send something whose first answer is lost, or that meets the fates given. */
export async function sendOnce(send: (sending: Sending) => Promise<unknown>, meeting: Meeting = {}): Promise<Outcome> {
  const server = await (meeting.serve ?? (() => serveFixture({})))()
  const proxy = await startLossyProxy(server.url, meeting.fates ?? ['answer lost'])
  try {
    const sent = send({ url: proxy.url, key: `key-${crypto.randomUUID()}`, handlerMs: 0 })
    const answered = await sent.then(
      () => true,
      () => false,
    )
    return { answered, requests: proxy.seen.length, effects: await server.effects(), seen: proxy.seen }
  } finally {
    await proxy.close()
    await server.close()
  }
}
