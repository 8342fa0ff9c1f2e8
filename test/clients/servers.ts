import { createServer } from 'node:http'
import { once as eventOf } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import express, { type Request } from 'express'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/express'
import { memory } from 'onceward/memory'
import { startFixture } from '../fixture/start.ts'
import { freshPath } from '../http/child.ts'

/** A server with the routes that a client asks for, and how often their handlers ran. */
export interface Served {
  readonly url: string
  effects(): Promise<number>
  close(): Promise<void>
}

/** How the server is set up. Milliseconds; what is undefined is left to the library. */
export interface Serving {
  /** How long a duplicate waits. */
  readonly waitMs?: number | undefined
  /** How long a handler runs. */
  readonly handlerMs?: number | undefined
}

/** The fixture, on Express and a SQLite file. Its handlers run as long as `/slow?ms=N` says. */
export async function serveFixture({ waitMs }: Serving): Promise<Served> {
  const wait = waitMs === undefined ? [] : ['--wait-ms', String(waitMs)]
  const fixture = await startFixture(['--framework', 'express', '--store', `sqlite:${freshPath('clients.db')}`, ...wait])
  const effects = async (): Promise<number> => {
    const response = await fetch(`${fixture.url}/effects`)
    return ((await response.json()) as unknown[]).length
  }
  return { url: fixture.url, effects, close: () => fixture.close() }
}

/** A server whose only routes are those that a provider's SDK asks for, behind one line. */
export async function serveProvider(paths: readonly string[], { waitMs, handlerMs = 0 }: Serving): Promise<Served> {
  const once = onceward({ store: memory() })
  const wait = waitMs === undefined ? {} : { wait: waitMs }
  const guard = idempotent({ once, scope: (request: Request) => request.get('authorization') ?? 'nobody', ...wait })
  let effects = 0
  const app = express()
  app.post([...paths], guard, async (_request, response) => {
    effects += 1
    await sleep(handlerMs)
    response.json({ id: `obj_${effects}`, object: 'anything' })
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await once.close()
  }
  return { url: `http://127.0.0.1:${address.port}`, effects: async () => effects, close }
}
