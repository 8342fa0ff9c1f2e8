import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** Which way a chunk of bytes goes. */
export type Direction = 'to the server' | 'to the client'

/** A server between a client and its server, which cuts connections where a test says. */
export interface Proxy {
  readonly port: number
  /** Chunks that have gone this way since the last `cutAt`. */
  passed(direction: Direction): number
  /** Whether the cut has been made. */
  readonly hasCut: boolean
  /**
   * Counts from now on, over all connections: the chunk with this number, from 1, is not passed on, and both ends of its connection are
   * closed. 0: none.
   */
  cutAt(direction: Direction, chunk: number): void
  close(): Promise<void>
}

/** Starts a proxy to a port of this machine. */
export async function startProxy(targetPort: number): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const passed = { 'to the server': 0, 'to the client': 0 }
  let cut: { readonly direction: Direction; readonly chunk: number } | undefined
  let hasCut = false

  const pass = (from: Socket, to: Socket, direction: Direction): void => {
    from.on('data', (chunk) => {
      passed[direction] += 1
      if (cut?.direction === direction && passed[direction] === cut.chunk) {
        hasCut = true
        from.destroy()
        to.destroy()
      } else to.write(chunk)
    })
    from.on('close', () => to.destroy())
    // The end of the connection is all there is to tell.
    from.on('error', () => to.destroy())
    sockets.add(from)
  }
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1')
    for (const socket of [client, target]) socket.setNoDelay(true)
    pass(client, target, 'to the server')
    pass(target, client, 'to the client')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address')

  return {
    port: address.port,
    passed: (direction) => passed[direction],
    get hasCut() {
      return hasCut
    },
    cutAt: (direction, chunk) => {
      passed['to the server'] = 0
      passed['to the client'] = 0
      hasCut = false
      cut = { direction, chunk }
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
