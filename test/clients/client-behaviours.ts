import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startLossyProxy, type Fate, type Seen } from './lossy-proxy.ts'
import type { Served, Serving } from './servers.ts'

/** What is sent: one POST, as an application makes it. */
export interface Sending {
  /** Where the API is. */
  readonly url: string
  readonly key: string
  /** How long the handler is to run, for servers that are told so by the request. Milliseconds. */
  readonly handlerMs: number
}

/** What the application has in the end: an answer, whether its client returns it or throws it. */
export interface Received {
  readonly status: number
  readonly body: string
}

/** A refusal that asks for patience. */
export type Patience = 409 | 425 | 503

/** What a client does about a refusal: it has it reach the application, or asks again, when the answer says so or when it likes. */
export type Reaction = 'reports' | 'asks again when told' | 'asks again in its own time'

/** A client, set up as its users would who want their POSTs to arrive. */
export interface Client {
  readonly name: string
  serve(serving: Serving): Promise<Served>
  /** Sends with the client's own way to set a key. Rejects where there was no answer. */
  send(sending: Sending): Promise<Received>
  /** What the docs say of it: docs/clients.md. */
  readonly does: Readonly<Record<Patience, Reaction>>
}

/** What an application saw, and what had happened. */
interface Story {
  readonly received: Received
  readonly effects: number
  readonly seen: readonly Seen[]
  /** The same once more, by the same key, when all is quiet. */
  readonly later: Received
}

/** Longer than any client's first pause, so that its repeat finds the first request still running. Milliseconds. */
const handlerMs = 2_000

/** An hour, in seconds: a client that waits for it does not end within a test. */
const anHour = 3_600

async function tell(client: Client, fates: readonly Fate[], serving: Serving = {}): Promise<Story> {
  const server = await client.serve(serving)
  const proxy = await startLossyProxy(server.url, fates)
  const sending = { url: proxy.url, key: `key-${crypto.randomUUID()}`, handlerMs: serving.handlerMs ?? 0 }
  try {
    const received = await client.send(sending)
    const seen = [...proxy.seen]
    await proxy.quiet()
    const later = await client.send(sending)
    assert.ok(
      proxy.seen.every(({ key }) => key === sending.key),
      'every request carried the key',
    )
    return { received, effects: await server.effects(), seen, later }
  } finally {
    await proxy.close()
    await server.close()
  }
}

/** One effect, and the caller has its answer. */
function assertOnce({ received, effects, later }: Story): void {
  assert.ok(received.status >= 200 && received.status < 300, `${received.status} ${received.body}`)
  assert.equal(effects, 1)
  assert.deepEqual(later, received)
}

/** What every client ends with, whatever the network loses: one effect, and the answer. */
export function clientBehaviours(client: Client): void {
  describe(client.name, { concurrency: 4, timeout: 60_000 }, () => {
    losses(client)
    stillRunning(client)
    for (const status of [409, 425, 503] as const) refused(client, status)
  })
}

function losses(client: Client): void {
  test('has the answer of the one effect when the first answers are lost', async () => {
    const story = await tell(client, ['answer lost', 'answer lost'])
    assertOnce(story)
    assert.equal(story.seen.length, 3)
  })

  test('has the answer of the one effect when the first request does not arrive', async () => {
    const story = await tell(client, ['request lost'])
    assertOnce(story)
    assert.equal(story.seen.length, 2)
  })

  test('has the answer of the one effect when its request arrives twice', async () => {
    assertOnce(await tell(client, ['doubled']))
  })
}

function stillRunning(client: Client): void {
  test('asks again while the first request still runs, waits with it, and has its answer', async () => {
    const story = await tell(client, ['cut'], { handlerMs })
    assertOnce(story)
    assert.equal(story.seen.length, 2)
  })

  const reaction = client.does[409]
  const what =
    reaction === 'reports' ? 'reports 409, and has the answer when asked again later' : 'asks again until it has the answer'
  test(`where duplicates do not wait: ${what}`, async () => {
    const { received, effects, seen, later } = await tell(client, ['cut'], { handlerMs, waitMs: 0 })
    assert.equal(effects, 1)
    assert.ok(later.status >= 200 && later.status < 300, `${later.status} ${later.body}`)
    assert.equal(seen[1]?.status, 409)
    if (reaction === 'reports') assert.equal(received.status, 409)
    else assert.deepEqual(received, later)
  })
}

function refused(client: Client, status: Patience): void {
  const reaction = client.does[status]
  const told = reaction === 'asks again when told'
  test(`${reaction} on ${status}`, async () => {
    const retryAfter = reaction === 'asks again in its own time' ? anHour : 1
    const { received, effects, seen, later } = await tell(client, [{ refused: status, retryAfter }])
    assert.equal(effects, 1)
    assert.equal(received.status, reaction === 'reports' ? status : later.status)
    const [first, second] = seen
    if (told) assert.ok(second !== undefined && first !== undefined && second.atMs - first.atMs >= 990, 'it waited a second')
  })
}
