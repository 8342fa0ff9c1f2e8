import { readBody } from './node-request.ts'
import type { BodyRefusal, HttpCall } from './protocol.ts'
import type { NodeRequest, NodeSocket } from './node-types.ts'
import type { RequestBody } from './request-fingerprint.ts'

/** Where a framework keeps what is Node's own in its request. */
export interface NodeParts {
  /** Node's own request. */
  readonly raw: NodeRequest
  /** Path and query as the client sent them, where the framework changes the raw request's `url`. */
  readonly target: string | undefined
  /** The object on which body parsers leave `body`, `file` and `files`. */
  readonly parsed: object
}

/** A request of Node's HTTP server in the door's terms. */
export class NodeCall<Request> implements HttpCall<Request> {
  readonly request: Request
  readonly raw: NodeRequest
  readonly method: string
  readonly target: string
  readonly #parsed: object

  /** @param request the framework's own, for the application's functions */
  constructor(request: Request, { raw, target, parsed }: NodeParts) {
    this.request = request
    this.raw = raw
    this.method = raw.method ?? ''
    this.target = target ?? '/'
    this.#parsed = parsed
  }

  get signal(): AbortSignal {
    return goneSignal(this.raw.socket)
  }

  /**
   * The client is gone, and its request can no longer be read: body parsers take such a one for read already. Known before `signal` is
   * told: the connection is closed some turns of the loop after it was lost.
   */
  get isGone(): boolean {
    const { destroyed, readableEnded, server } = this.raw.socket
    return destroyed || (readableEnded && server?.httpAllowHalfOpen !== true)
  }

  header(name: string): string | undefined {
    const value = this.raw.headers[name]
    return typeof value === 'object' ? value.join(', ') : value
  }

  headerCount(name: string): number {
    return this.raw.rawHeaders.filter((word, index) => index % 2 === 0 && word.toLowerCase() === name).length
  }

  body(bytesMax: number): RequestBody | BodyRefusal | Promise<RequestBody | BodyRefusal> {
    return readBody(this.raw, bytesMax, this.#parsed)
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
