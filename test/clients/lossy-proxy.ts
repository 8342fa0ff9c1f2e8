import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http'
import { once as eventOf } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** What becomes of one request. */
export type Fate =
  /** It reaches the server, and its answer reaches the client. */
  | 'delivered'
  /** The connection breaks before the server has it. */
  | 'request lost'
  /** The server has answered, and the connection breaks before the client has any of it. */
  | 'answer lost'
  /** The connection breaks while the server is still at it. */
  | 'cut'
  /** It reaches the server twice, at the same time; the client has one of the answers. */
  | 'doubled'
  /** The server does not see it: the proxy answers as the door would. */
  | { readonly refused: number; readonly retryAfter: number }

/** One request of the client, as the proxy saw it. */
export interface Seen {
  readonly method: string
  readonly path: string
  readonly key: string | undefined
  readonly fate: Fate
  /** On a monotonic clock. Milliseconds. */
  readonly atMs: number
  /** What the client was answered; undefined where it was answered nothing. */
  status: number | undefined
}

/** A proxy between a client and a server that loses what it is told to. */
export interface LossyProxy {
  readonly url: string
  /** Every request of the client, in order. */
  readonly seen: readonly Seen[]
  /** Resolves when the server works on nothing any more. */
  quiet(): Promise<void>
  close(): Promise<void>
}

/** How long a request that is cut off has been with the server. Milliseconds. */
const cutMs = 100

interface Answer {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: Buffer
}

/** Starts a proxy in front of the server. The fates are those of the first requests, in order; all later ones are delivered. */
export async function startLossyProxy(target: string, fates: readonly Fate[]): Promise<LossyProxy> {
  const seen: Seen[] = []
  const underway = new Set<Promise<unknown>>()
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    const one: Seen = {
      method,
      path: url,
      key: headers['idempotency-key']?.toString(),
      fate: fates[seen.length] ?? 'delivered',
      atMs: performance.now(),
      status: undefined,
    }
    seen.push(one)
    const journey = carry(one, { target, request, response })
    underway.add(journey)
    const arrived = (): boolean => underway.delete(journey)
    journey.then(arrived, () => arrived() && response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  const quiet = async (): Promise<void> => {
    while (underway.size > 0) await Promise.allSettled(underway)
  }
  const close = async (): Promise<void> => {
    await quiet()
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${address.port}`, seen, quiet, close }
}

interface Line {
  readonly target: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

async function carry(one: Seen, { target, request, response }: Line): Promise<void> {
  const body = Buffer.concat(await request.toArray())
  const deliver = (): Promise<Answer> => exchange(target, request, body)
  const answer = (given: Answer): void => {
    one.status = given.status
    response.writeHead(given.status, [...given.headers]).end(given.body)
  }
  const { fate } = one
  if (typeof fate === 'object') return answer(refusal(fate))
  switch (fate) {
    case 'delivered':
      return answer(await deliver())
    case 'request lost':
      response.destroy()
      return
    case 'answer lost':
      await deliver()
      response.destroy()
      return
    case 'cut': {
      const delivered = deliver()
      await Promise.race([delivered, sleep(cutMs)])
      response.destroy()
      await delivered
      return
    }
    case 'doubled': {
      const [first, second] = [deliver(), deliver()]
      answer(await Promise.race([first, second]))
      await Promise.all([first, second])
    }
  }
}

/** A refusal in the form of the door's own: a client sees no difference. */
function refusal({ refused, retryAfter }: { refused: number; retryAfter: number }): Answer {
  const body = Buffer.from(JSON.stringify({ title: 'Not now', status: refused, code: 'idempotency_refused', retryable: true }))
  return {
    status: refused,
    headers: ['Content-Type', 'application/problem+json', 'Retry-After', String(retryAfter), 'Content-Length', `${body.length}`],
    body,
  }
}

/** Headers and bytes as they come, on a connection of its own that outlives the client's. */
async function exchange(target: string, { method, url, rawHeaders }: IncomingMessage, body: Buffer): Promise<Answer> {
  const outgoing = ask(new URL(url ?? '/', target), { method, headers: [...withoutHop(rawHeaders)], agent: false })
  outgoing.end(body)
  const [incoming] = (await eventOf(outgoing, 'response')) as [IncomingMessage]
  const answered = Buffer.concat(await incoming.toArray())
  const headers = [...withoutHop(incoming.rawHeaders), 'Content-Length', `${answered.length}`]
  return { status: incoming.statusCode ?? 0, headers, body: answered }
}

/** Headers of one connection, and those that say how long the body is, since it is sent on in one piece. */
const hop = new Set(['connection', 'keep-alive', 'transfer-encoding'])

function withoutHop(raw: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? ''
    if (!hop.has(name.toLowerCase()) && name.toLowerCase() !== 'content-length') kept.push(name, raw[index + 1] ?? '')
  }
  return kept
}
