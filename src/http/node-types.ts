/** A connection, as far as it is looked at. */
export interface NodeSocket {
  readonly destroyed: boolean
  /** The client has said that it sends nothing more. */
  readonly readableEnded: boolean
  readonly errored?: Error | null | undefined
  readonly server?: { readonly listening: boolean; readonly httpAllowHalfOpen?: boolean } | undefined
  once(event: 'close', listener: () => void): unknown
}

/** Node's `IncomingMessage`, by the members that are used. */
export interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly rawHeaders: readonly string[]
  readonly socket: NodeSocket
  /** The whole message has arrived. */
  readonly complete: boolean
  readonly destroyed: boolean
  readonly readableLength: number
  readonly readableDidRead: boolean
  readonly readableEnded: boolean
  readonly readableFlowing: boolean | null
  readonly readableEncoding: string | null
  read(size?: number): unknown
  unshift(chunk: Uint8Array): void
  resume(): unknown
  on(event: 'readable' | 'close', listener: () => void): unknown
  off(event: 'readable' | 'close', listener: () => void): unknown
  listenerCount(event: string): number
}

/** A header's value as Node keeps it. */
export type NodeHeader = number | string | readonly string[]

/** Node's `ServerResponse`, by the members that are used and replaced. */
export interface NodeResponse {
  statusCode: number
  readonly headersSent: boolean
  readonly writableEnded: boolean
  readonly destroyed: boolean
  readonly socket: NodeSocket | null
  getHeader(name: string): NodeHeader | undefined
  getHeaderNames(): string[]
  /** As they were written; not every version of the types knows it. */
  getRawHeaderNames?(): string[]
  getHeaders(): Record<string, NodeHeader | undefined>
  setHeader(name: string, value: unknown): unknown
  appendHeader(name: string, value: unknown): unknown
  removeHeader(name: string): void
  hasHeader(name: string): boolean
  listenerCount(event: string): number
  once(event: 'close', listener: () => void): unknown
  writeHead(status: number, reason?: unknown, headers?: unknown): unknown
  write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean
  end(chunk?: unknown, encoding?: unknown, callback?: unknown): unknown
  flushHeaders(): void
  destroy(error?: Error): unknown
  emit(event: string, ...values: unknown[]): boolean
}
