import { once as eventOf } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { Express } from 'express'

/** A server that accepts connections. */
export interface Listening {
  /** Where it is: `http://127.0.0.1:3000`. */
  readonly origin: string
  readonly port: number
  /** Takes no more connections; resolves when the requests under way have been answered. */
  close(): Promise<void>
}

/** Listens on this machine only; port 0 takes a free one. Rejects with `EADDRINUSE` when the port is taken. */
export async function listen(app: Express, port: number): Promise<Listening> {
  const server = createServer(app)
  server.listen(port, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  return { origin: `http://127.0.0.1:${address.port}`, port: address.port, close: () => closed(server) }
}

async function closed(server: Server): Promise<void> {
  const end = eventOf(server, 'close')
  server.close()
  // That ended the connections idle by now; those with a request under way are idle later, and a client may keep them open.
  const sweep = setInterval(() => server.closeIdleConnections(), 20)
  await end
  clearInterval(sweep)
}
