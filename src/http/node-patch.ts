import type { NodeResponse } from './node-types.ts'

/** What stands in for a response's own methods. */
export interface Interceptor {
  writeHead(status: number, reason?: unknown, headers?: unknown): unknown
  write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean
  end(chunk?: unknown, encoding?: unknown, callback?: unknown): unknown
  flushHeaders(): void
  destroy(error?: Error): unknown
  emit(event: string, values: readonly unknown[]): boolean
}

/** A response's methods as they were: its own, or those of a layer before this one (compression, say). Called with the response as `this`. */
export type Originals = Readonly<Pick<NodeResponse, keyof Interceptor>>

const interceptorOf: unique symbol = Symbol('onceward.interceptor')

type Patched = NodeResponse & { [interceptorOf]?: Interceptor }

/** Whether something stands in for the response's methods already: the layer is mounted twice on one route. */
export function isPatched(response: NodeResponse): boolean {
  return interceptorOf in response
}

/** Whether a layer before this one has put methods of its own on the response. */
export function isWrapped(response: NodeResponse): boolean {
  return Object.hasOwn(response, 'end') || Object.hasOwn(response, 'writeHead')
}

/** Puts the interceptor in place of the response's methods, and returns these. */
export function patch(response: Patched, interceptor: Interceptor): Originals {
  // oxlint-disable-next-line typescript/unbound-method -- each is called with the response as `this`
  const { writeHead, write, end, flushHeaders, destroy, emit } = response
  response[interceptorOf] = interceptor
  // Shared functions, assigned one by one: no closure a request, and always the same shape.
  response.writeHead = patchedWriteHead
  response.write = patchedWrite
  response.end = patchedEnd
  response.flushHeaders = patchedFlushHeaders
  response.destroy = patchedDestroy
  response.emit = patchedEmit
  return { writeHead, write, end, flushHeaders, destroy, emit }
}

function patchedWriteHead(this: Patched, status: number, reason?: unknown, headers?: unknown): unknown {
  return interceptorIn(this).writeHead(status, reason, headers)
}

function patchedWrite(this: Patched, chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
  return interceptorIn(this).write(chunk, encoding, callback)
}

function patchedEnd(this: Patched, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
  return interceptorIn(this).end(chunk, encoding, callback)
}

function patchedFlushHeaders(this: Patched): void {
  interceptorIn(this).flushHeaders()
}

function patchedDestroy(this: Patched, error?: Error): unknown {
  return interceptorIn(this).destroy(error)
}

function patchedEmit(this: Patched, event: string, ...values: unknown[]): boolean {
  return interceptorIn(this).emit(event, values)
}

function interceptorIn({ [interceptorOf]: found }: Patched): Interceptor {
  if (found === undefined)
    throw new TypeError('a method of a captured response was called on another object: call it on the response')
  return found
}
