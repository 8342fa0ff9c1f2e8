// A server on a free port: a framework bare, or with Onceward on the SQLite file given, or with a competitor on the Redis given.
import { createServer, type Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import express, { type Request, type RequestHandler } from 'express'
import { fastify, type FastifyRequest } from 'fastify'
import { Hono } from 'hono'
import { Redis } from 'ioredis'
import { onceward, type Once, type Store } from 'onceward'
import { idempotent as onExpress } from 'onceward/express'
import { idempotent as onFastify } from 'onceward/fastify'
import { idempotent as onHono } from 'onceward/hono'
import { redis } from 'onceward/redis'
import { sqlite } from 'onceward/sqlite'
import { outcome } from '../work.ts'
import { expressIdempotency, nodeIdempotency, type Guard } from './competitors.ts'
import { serveParent } from './serve.ts'

/** A framework, and what stands before its handler. */
export type Contestant =
  | 'fastify'
  | 'fastify-onceward'
  | 'hono'
  | 'hono-onceward'
  | 'express'
  | 'express-onceward'
  | 'express-redis-onceward'
  | 'node-idempotency'
  | 'express-idempotency'

let effects = 0

function charged(): typeof outcome {
  effects += 1
  return outcome
}

const [name = 'express', place = ''] = process.argv.slice(2)
const { server, close } = await serverOf(name as Contestant)
await serveParent(server, () => effects, close)

interface Opened {
  readonly server: Server
  readonly close: () => Promise<unknown>
}

async function serverOf(contestant: Contestant): Promise<Opened> {
  switch (contestant) {
    case 'fastify':
      return { server: await fastifyServer(), close: async () => {} }
    case 'fastify-onceward':
      return protectedBy(fastifyServer)
    case 'hono':
      return { server: honoServer(), close: async () => {} }
    case 'hono-onceward':
      return protectedBy(honoServer)
    case 'express':
      return { server: expressServer(), close: async () => {} }
    case 'express-onceward':
      return protectedBy(expressServer)
    case 'express-redis-onceward':
      return protectedBy(expressServer, redis(new Redis(place)))
    case 'node-idempotency':
      return guarded(await nodeIdempotency(place))
    case 'express-idempotency':
      return guarded(await expressIdempotency(place))
  }
}

async function protectedBy(serve: (once: Once) => Server | Promise<Server>, store: Store = sqlite(place)): Promise<Opened> {
  const once = onceward({ store })
  await once.open()
  return { server: await serve(once), close: () => once.close() }
}

async function fastifyServer(once?: Once): Promise<Server> {
  const app = fastify()
  const scope = (request: FastifyRequest): string => String(request.headers['x-account'])
  const preHandler = once === undefined ? [] : [onFastify({ once, scope })]
  app.post('/charges', { preHandler }, async (_request, reply) => reply.code(201).send(charged()))
  await app.ready()
  return app.server
}

function honoServer(once?: Once): Server {
  const app = new Hono()
  if (once !== undefined) app.use('/charges', onHono({ once, scope: (c) => c.req.header('x-account') ?? 'nobody' }))
  app.post('/charges', async (c) => {
    await c.req.json()
    return c.json(charged(), 201)
  })
  const made = createAdaptorServer(app)
  if (!('closeAllConnections' in made)) throw new TypeError("Hono's adapter makes a server of node:http")
  return made
}

function expressServer(once?: Once): Server {
  const scope = (request: Request): string => request.get('x-account') ?? 'nobody'
  const protection = once === undefined ? [] : [onExpress({ once, scope })]
  return expressWith([express.json(), ...protection])
}

function guarded({ before, isReplay, close: end }: Guard): Opened {
  return { server: expressWith([express.json(), before], isReplay), close: end }
}

/** @param isReplay for a guard that calls the handler for replays as well */
function expressWith(before: readonly RequestHandler[], isReplay: (request: Request) => boolean = () => false): Server {
  const app = express()
  app.post('/charges', ...before, (request, response) => {
    if (!isReplay(request)) response.status(201).json(charged())
  })
  return createServer(app)
}
