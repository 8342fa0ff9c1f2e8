import { createServer } from 'node:http'
import { once as eventOf } from 'node:events'
import { getRequestListener } from '@hono/node-server'
import { Hono, type Context, type MiddlewareHandler } from 'hono'
import { onceward, type Once, type OncewardOptions } from 'onceward'
import { memory } from 'onceward/memory'
import { everyone, idempotent as fetchIdempotent, type HttpOptions } from 'onceward/fetch'
import { idempotent as honoIdempotent } from 'onceward/hono'

/** The doors for Request and Response that are tested alike. */
export const fetchFrameworks = ['fetch', 'hono'] as const

/** One of them. */
export type FetchFramework = (typeof fetchFrameworks)[number]

/** A handler that both can run. */
export type Handler = (request: Request) => Response | Promise<Response>

/** What a test sets beside the handler. */
export interface Serving {
  readonly http?: Partial<HttpOptions<never>>
  readonly engine?: Partial<OncewardOptions>
  /** Middleware before the layer, and between the layer and the handler; Hono only. */
  readonly before?: readonly MiddlewareHandler[]
  readonly behind?: readonly MiddlewareHandler[]
  /** Leaves the layer out, to compare with. */
  readonly bare?: boolean
}

/** A server of one test, with one route. */
export interface Served {
  readonly url: string
  /** The application itself, without a server. */
  readonly fetch: (request: Request) => Promise<Response>
  readonly once: Once
  /** What `onError` was told. */
  readonly errors: readonly unknown[]
  /** What reached the framework's own error handler. */
  readonly thrown: readonly unknown[]
  close(): Promise<void>
}

/** Starts a server that has its requests handled once. */
export async function serveFetch(framework: FetchFramework, handler: Handler, serving: Serving = {}): Promise<Served> {
  const once = onceward({ store: memory(), ...serving.engine })
  const errors: unknown[] = []
  const thrown: unknown[] = []
  const options = { once, scope: everyone, onError: (error: unknown) => void errors.push(error), ...serving.http }
  const application = framework === 'fetch' ? fetchApp(handler, options, serving) : honoApp(handler, options, serving)
  const answering = async (request: Request): Promise<Response> => {
    try {
      return await application(request)
    } catch (error) {
      thrown.push(error)
      return new Response('thrown', { status: 500 })
    }
  }
  const listener = getRequestListener(answering)
  const server = createServer((request, response) => void listener(request, response))
  server.listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await once.close()
  }
  return { url: `http://127.0.0.1:${address.port}`, fetch: answering, once, errors, thrown, close }
}

function fetchApp(handler: Handler, options: HttpOptions<never>, { bare }: Serving): Handler {
  return bare === true ? handler : fetchIdempotent(options as HttpOptions<Request>, handler)
}

function honoApp(handler: Handler, options: HttpOptions<never>, { bare, before = [], behind = [] }: Serving): Handler {
  const app = new Hono()
  const layer = bare === true ? [] : [honoIdempotent(options as HttpOptions<Context>)]
  app.on('POST', ['/'], ...before, ...layer, ...behind, (c) => handler(c.req.raw))
  app.onError((error) => {
    throw error
  })
  return (request) => app.fetch(request)
}
