import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { once as eventOf } from 'node:events'
import express5, { type Express, type Request, type RequestHandler } from 'express'
import express4 from 'express4'
import { onceward, type Once, type OncewardOptions } from 'onceward'
import { memory } from 'onceward/memory'
import { idempotent as expressIdempotent } from 'onceward/express'
import { everyone, idempotent as nodeIdempotent, type HttpOptions } from 'onceward/node'

/** A handler of `node:http`; Express's requests and responses are Node's. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

/** The frameworks whose middleware is that of Express, or none: all is tested on them. */
export const frameworks = ['node', 'express', 'express4'] as const

/** All that have Node's request and response: what is captured is tested on them. */
export const allFrameworks = ['node', 'express', 'express4', 'fastify', 'koa', 'nest', 'nest-fastify'] as const

/** One of them. */
export type Framework = (typeof allFrameworks)[number]

/** A server of one test, with one route. */
export interface Served {
  readonly url: string
  readonly server: Server
  readonly once: Once
  /** What `onError` was told. */
  readonly errors: readonly unknown[]
  close(): Promise<void>
}

/** What a test sets beside the handler. */
export interface Serving {
  readonly http?: Partial<HttpOptions<IncomingMessage>>
  readonly engine?: Partial<OncewardOptions>
  /** Middleware before the layer: of Express, or called as such before the listener of `node:http`. */
  readonly before?: readonly RequestHandler[]
  /** Middleware between the layer and the handler; Express only. */
  readonly behind?: readonly RequestHandler[]
  /** Leaves the layer out, to compare with. */
  readonly bare?: boolean
}

/** Starts a server that has its requests handled once. */
export async function serve(framework: Framework, handler: Handler, serving: Serving = {}): Promise<Served> {
  const once = onceward({ store: memory(), ...serving.engine })
  const errors: unknown[] = []
  const options = { once, scope: everyone, onError: (error: unknown) => void errors.push(error), ...serving.http }
  const server = createServer(await listenerOf(framework, handler, { options, serving }))
  server.listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await once.close()
  }
  return { url: `http://127.0.0.1:${address.port}`, server, once, errors, close }
}

async function listenerOf(
  framework: Framework,
  handler: Handler,
  served: { options: HttpOptions<IncomingMessage>; serving: Serving },
): Promise<RequestListener> {
  if (framework === 'node') return nodeServer(handler, served.options, served.serving)
  if (framework === 'express' || framework === 'express4')
    return expressServer(framework, handler, served.options, served.serving)
  return (await import('./serving-frameworks.ts')).listenerOn(framework, handler, served)
}

function nodeServer(handler: Handler, options: HttpOptions<IncomingMessage>, { bare, before = [] }: Serving): RequestListener {
  const listener = bare === true ? handler : nodeIdempotent(options, handler)
  return (request, response) => {
    // Of middleware only what Node's own request and response suffice for.
    for (const middleware of before) void middleware(request as Request, response as never, () => {})
    listener(request, response)
  }
}

function expressServer(
  framework: Framework,
  handler: Handler,
  options: HttpOptions<IncomingMessage>,
  { bare, before = [], behind = [] }: Serving,
): Express {
  const app = framework === 'express4' ? express4() : express5()
  app.set('env', 'test') // errors are not logged
  const layer = bare === true ? [] : [expressIdempotent<Request>(options as HttpOptions<Request>)]
  app.post('/', ...before, ...layer, ...behind, (request, response) => handler(request, response) as void)
  return app
}

/** The middleware of the framework's own package. */
export function expressOf(framework: Framework): typeof express5 {
  return framework === 'express4' ? express4 : express5
}
