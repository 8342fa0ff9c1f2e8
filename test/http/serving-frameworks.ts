import { Controller, HttpCode, Module, Post, Req, Res, UseInterceptors } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import { fastify, type FastifyInstance } from 'fastify'
import Koa from 'koa'
import { idempotent as fastifyIdempotent, type HttpOptions } from 'onceward/fastify'
import { idempotent as koaIdempotent } from 'onceward/koa'
import { idempotent as nestIdempotent } from 'onceward/nest'
import type { Handler, Serving } from './serving.ts'
import type { IncomingMessage, RequestListener } from 'node:http'

/** A handler of `node:http` on a framework that has Node's request and response beneath its own. */
export async function listenerOn(
  framework: 'fastify' | 'koa' | 'nest' | 'nest-fastify',
  handler: Handler,
  served: { options: HttpOptions<IncomingMessage>; serving: Serving },
): Promise<RequestListener> {
  switch (framework) {
    case 'fastify':
      return onFastify(handler, served.options, served.serving)
    case 'koa':
      return onKoa(handler, served.options, served.serving)
    case 'nest':
      return onNest(handler, served.options, served.serving)
    case 'nest-fastify':
      return onNestWithFastify(handler, served.options, served.serving)
  }
}

async function onFastify(
  handler: Handler,
  options: HttpOptions<IncomingMessage>,
  { bare, before = [] }: Serving,
): Promise<RequestListener> {
  const app = fastify()
  leaveBodies(app)
  for (const middleware of before)
    app.addHook('onRequest', (request, reply, done) => void middleware(request.raw as never, reply.raw as never, done as never))
  const layer = bare === true ? [] : [fastifyIdempotent(of(options, ({ raw }: { raw: IncomingMessage }) => raw) as never)]
  app.post('/', { preHandler: layer }, async (request, reply) => {
    await handler(request.raw, reply.raw)
    if (!reply.raw.writableEnded) reply.hijack()
  })
  await app.ready()
  return (request, response) => app.routing(request, response)
}

/** Bodies are left to whoever reads the raw request. */
function leaveBodies(app: Pick<FastifyInstance, 'removeAllContentTypeParsers' | 'addContentTypeParser'>): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
}

function onKoa(handler: Handler, options: HttpOptions<IncomingMessage>, { bare, before = [] }: Serving): RequestListener {
  const app = new Koa()
  app.silent = true
  for (const middleware of before)
    app.use(async (ctx, next) => {
      await new Promise<void>((resolve) => void middleware(ctx.req as never, ctx.res as never, () => resolve()))
      await next()
    })
  if (bare !== true) app.use(koaIdempotent(of(options, ({ req }: Koa.Context) => req)))
  app.use(async (ctx) => {
    ctx.respond = false
    ctx.res.statusCode = 200
    await handler(ctx.req, ctx.res)
  })
  const callback = app.callback()
  return (request, response) => void callback(request, response)
}

async function onNest(
  handler: Handler,
  options: HttpOptions<IncomingMessage>,
  { bare, before = [] }: Serving,
): Promise<RequestListener> {
  const layer = bare === true ? undefined : nestIdempotent(of(options, (request: IncomingMessage) => request) as never)
  const app = await NestFactory.create(moduleOf(handler, layer), new ExpressAdapter(), { logger: false, bodyParser: false })
  for (const middleware of before) app.use(middleware)
  await app.init()
  return app.getHttpAdapter().getInstance()
}

async function onNestWithFastify(
  handler: Handler,
  options: HttpOptions<IncomingMessage>,
  { bare, before = [] }: Serving,
): Promise<RequestListener> {
  const layer = bare === true ? undefined : nestIdempotent(of(options, ({ raw }: { raw: IncomingMessage }) => raw) as never)
  const quiet = { logger: false, bodyParser: false } as const
  const app = await NestFactory.create<NestFastifyApplication>(moduleOf(handler, layer), new FastifyAdapter(), quiet)
  const instance = app.getHttpAdapter().getInstance()
  leaveBodies(instance)
  for (const middleware of before) app.use(middleware)
  await app.init()
  await instance.ready()
  return (request, response) => instance.routing(request, response)
}

/** A module whose only handler has Node's own request and response. */
function moduleOf(handler: Handler, layer: object | undefined): new () => object {
  class OneController {
    handle(request: { raw?: IncomingMessage }, response: { raw?: never }): unknown {
      return handler(request.raw ?? (request as never), response.raw ?? (response as never))
    }
  }
  const { prototype } = OneController
  const descriptor = { configurable: true, value: prototype.handle }
  Post()(prototype, 'handle', descriptor)
  HttpCode(200)(prototype, 'handle', descriptor)
  Req()(prototype, 'handle', 0)
  Res()(prototype, 'handle', 1)
  if (layer !== undefined) UseInterceptors(layer as never)(prototype, 'handle', descriptor)
  Controller()(OneController)
  // oxlint-disable-next-line typescript/no-extraneous-class -- Nest knows a module by its class
  const OneModule = class {}
  Module({ controllers: [OneController] })(OneModule)
  return OneModule
}

/** Options whose functions are given Node's own request. */
function of<Request>(options: HttpOptions<IncomingMessage>, rawOf: (request: Request) => IncomingMessage): HttpOptions<Request> {
  const { scope, fingerprint, ...rest } = options
  return {
    ...rest,
    scope: (request, sha256) => scope(rawOf(request), sha256),
    ...(fingerprint !== undefined && {
      fingerprint: typeof fingerprint === 'function' ? (request: Request) => fingerprint(rawOf(request)) : fingerprint,
    }),
  }
}
