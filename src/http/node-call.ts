import { readBody } from './node-request.ts'
import type { BodyRefusal, HttpCall } from './protocol.ts'
import type { NodeRequest, NodeSocket } from './node-types.ts'
import type { RequestBody } from './request-fingerprint.ts'

/** A request of Node's HTTP server in the door's terms. */
export class NodeCall<Request extends NodeRequest> implements HttpCall<Request> {
  readonly request: Request
  readonly method: string
  readonly target: string

  /** @param target path and query as the client sent them, where a framework has changed `request.url` */
  constructor(request: Request, target: string | undefined = request.url) {
    this.request = request
    this.method = request.method ?? ''
    this.target = target ?? '/'
  }

  get signal(): AbortSignal {
    return goneSignal(this.request.socket)
  }

  /**
   * The client is gone, and its request can no longer be read: body parsers take such a one for read already. Known before `signal` is
   * told: the connection is closed some turns of the loop after it was lost.
   */
  get isGone(): boolean {
    const { destroyed, readableEnded, server } = this.request.socket
    return destroyed || (readableEnded && server?.httpAllowHalfOpen !== true)
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name]
    return typeof value === 'object' ? value.join(', ') : value
  }

  headerCount(name: string): number {
    return this.request.rawHeaders.filter((word, index) => index % 2 === 0 && word.toLowerCase() === name).length
  }

  body(bytesMax: number): RequestBody | BodyRefusal | Promise<RequestBody | BodyRefusal> {
    return readBody(this.request, bytesMax)
  }
}

const goneSignalOf: unique symbol = Symbol('onceward.goneSignal')

/** Aborts when the connection is closed. One a connection, not one a request: making one is dear. */
function goneSignal(socket: NodeSocket & { [goneSignalOf]?: AbortSignal }): AbortSignal {
  const known = socket[goneSignalOf]
  if (known !== undefined) return known
  const gone = new AbortController()
  if (socket.destroyed) gone.abort()
  else socket.once('close', () => gone.abort())
  socket[goneSignalOf] = gone.signal
  return gone.signal
}
