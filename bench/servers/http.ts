import type { Server } from 'node:http'

/** What a server has used and done since it started. */
export interface Use {
  /** Of the whole process. Microseconds. */
  readonly cpuUs: number
  /** Runs of the handler. */
  readonly effects: number
}

/** What the process of a server can be asked. */
export type HttpApi = ReturnType<typeof httpApi>

/** Answers for a server that listens, and its handler. */
export function httpApi(server: Server, effects: () => number): { port(): number; use(): Use } {
  return {
    port() {
      const address = server.address()
      if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
      return address.port
    },
    use() {
      const { user, system } = process.cpuUsage()
      return { cpuUs: user + system, effects: effects() }
    },
  }
}
