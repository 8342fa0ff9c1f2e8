import { once as eventOf } from 'node:events'
import type { Server } from 'node:http'
import { answerParent } from './answer.ts'

/** What the server has used and done since it started. */
export interface Use {
  /** Of the whole process. Microseconds. */
  readonly cpuUs: number
  /** Runs of the handler. */
  readonly effects: number
}

/** What the process of a server can be asked. */
export interface ServerApi {
  readonly [name: string]: (argument: never) => unknown
  port(): number
  use(): Use
}

/** Puts a server on a free port, and answers its parent until that lets go of it. @param effects how often the handler has run */
export async function serveParent(server: Server, effects: () => number, close: () => Promise<unknown>): Promise<void> {
  server.listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const api: ServerApi = {
    port: () => portOf(server),
    use() {
      const { user, system } = process.cpuUsage()
      return { cpuUs: user + system, effects: effects() }
    },
  }
  answerParent(api, async () => {
    server.closeAllConnections()
    server.close()
    await close()
  })
}

/** Of a server that listens. */
export function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  return address.port
}
