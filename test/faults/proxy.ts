import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Which way a chunk goes: `up` to the server, `down` to the client. */
export type Direction = 'up' | 'down'

/** A TCP proxy that loses chunks: it cuts the connection instead of handing on the one it was told, or holds everything back. */
export class Proxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #target: number
  #cut: { readonly direction: Direction; left: number } | undefined
  #isHolding = false

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((client) => this.#accept(client))
  }

  /** Listens on a free port of 127.0.0.1, before the server on `target`. */
  static async before(target: number): Promise<Proxy> {
    const proxy = new Proxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
    return address.port
  }

  /** Whether the cut that was told has been made. */
  get hasCut(): boolean {
    return this.#cut === undefined
  }

  /** Cuts the connection on which the n-th chunk from now on goes that way, before it is handed on. */
  cutAt(direction: Direction, chunk: number): void {
    this.#cut = { direction, left: chunk }
  }

  /** Whether the cut that was told has not come yet; it then never does. */
  disarm(): boolean {
    const isPending = this.#cut !== undefined
    this.#cut = undefined
    return isPending
  }

  /** From now on nothing gets through, and what comes is lost. */
  hold(): void {
    this.#isHolding = true
  }

  /** Lets through again; connections that lost something end. */
  release(): void {
    this.#isHolding = false
    this.#endAll()
  }

  /** Later connections go to another server; those there are end. */
  retarget(port: number): void {
    this.#target = port
    this.#endAll()
  }

  async close(): Promise<void> {
    this.#endAll()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #endAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #accept(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    const both = [client, server]
    const end = (): void => {
      for (const socket of both) socket.destroy()
    }
    for (const socket of both) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        end()
      })
    }
    const pass = (direction: Direction, to: Socket) => (chunk: Buffer) => {
      if (this.#isHolding) return
      if (this.#isCut(direction)) end()
      else to.write(chunk)
    }
    client.on('data', pass('up', server))
    server.on('data', pass('down', client))
  }

  #isCut(direction: Direction): boolean {
    if (this.#cut?.direction !== direction) return false
    this.#cut.left -= 1
    if (this.#cut.left > 0) return false
    this.#cut = undefined
    return true
  }
}
