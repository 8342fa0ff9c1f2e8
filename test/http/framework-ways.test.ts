import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { once as eventOf } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { BadRequestException, Body, Controller, Module, Post, StreamableFile, UnprocessableEntityException } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { fastify, type RouteHandlerMethod } from 'fastify'
import Koa, { type Middleware } from 'koa'
import { of, throwError, type Observable } from 'rxjs'
import { onceward, refusal } from 'onceward'
import { everyone, idempotent as fastifyHook } from 'onceward/fastify'
import { idempotent as koaMiddleware } from 'onceward/koa'
import { Idempotent, idempotent as nestInterceptor } from 'onceward/nest'
import { memory } from 'onceward/memory'
import { ask, codeOf, isReplay } from '../../src/testing/http/ask.ts'
import { lasting } from './lasting.ts'

const once = onceward({ store: memory() })
const options = { once, scope: everyone, onError: () => {} }
let keys = 0

/** Asks the bare handler once and the protected one twice: all three are the same, and the third is a replay. */
async function assertUnchanged(bare: RequestListener, layered: RequestListener): Promise<void> {
  const [plainServer, server] = [createServer(bare), createServer(layered)]
  const [plainUrl, url] = await Promise.all([plainServer, server].map(urlOf))
  try {
    const question = { path: '/', key: `k${(keys += 1)}`, body: '{"a":1}', headers: { 'content-type': 'application/json' } }
    const plain = await ask(String(plainUrl), question)
    const first = await ask(String(url), question)
    const second = await ask(String(url), question)
    assert.deepEqual(lasting(first), lasting(plain))
    assert.deepEqual(lasting(second), lasting(plain))
    assert.deepEqual([isReplay(first), isReplay(second)], [false, true])
  } finally {
    for (const each of [plainServer, server]) each.close()
  }
}

async function urlOf(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  return typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : ''
}

const fastifyWays: Readonly<Record<string, RouteHandlerMethod>> = {
  'returning an object': async (request) => ({ got: request.body }),
  'sending a string': (_, reply) => void reply.send('text'),
  'sending bytes': (_, reply) => void reply.send(Buffer.from([0, 255])),
  'sending a stream': (_, reply) => void reply.send(Readable.from(['a', 'b'])),
  'sending a Response': async () => new Response('web', { status: 202, headers: { 'x-web': '1' } }),
  'a serializer': (_, reply) => void reply.serializer(() => 'serialized').send({ a: 1 }),
  'an error with a status': async () => {
    throw Object.assign(new Error('teapot'), { statusCode: 418 })
  },
  redirecting: (_, reply) => void reply.redirect('/elsewhere', 303),
  'an empty 204': (_, reply) => void reply.code(204).send(),
}

async function fastifyApp(handler: RouteHandlerMethod, isBare: boolean): Promise<RequestListener> {
  const app = fastify()
  app.addHook('onRequest', async (_request, reply) => void reply.header('x-before', 'stays'))
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.header('x-sent', 'yes')
    return typeof payload === 'string' ? `<${payload}>` : payload
  })
  app.post('/', { preHandler: isBare ? [] : fastifyHook(options) }, handler)
  await app.ready()
  return (request, response) => app.routing(request, response)
}

for (const [way, handler] of Object.entries(fastifyWays))
  test(`fastify: ${way} comes through hooks unchanged, and the replay is the same`, async () =>
    assertUnchanged(await fastifyApp(handler, true), await fastifyApp(handler, false)))

test('fastify: a hijacked answer is remembered, and carries what hooks before the layer have set', async () => {
  const server = createServer(await fastifyApp((_, reply) => void reply.hijack().raw.writeHead(203).end('raw'), false))
  const url = await urlOf(server)
  const question = { path: '/', key: `k${(keys += 1)}` }
  const [first, second] = [await ask(url, question), await ask(url, question)]
  for (const answer of [first, second])
    assert.deepEqual([answer.status, answer.text, answer.headers['x-before']], [203, 'raw', 'stays'])
  assert.deepEqual([isReplay(first), isReplay(second)], [false, true])
  server.close()
})

test('fastify: what validation refuses is not remembered, and hooks after the answer run for replays too', async () => {
  const statuses: number[] = []
  const app = fastify()
  app.addHook('onResponse', async (_request, reply) => void statuses.push(reply.statusCode))
  const schema = { body: { type: 'object', required: ['a'], properties: { a: { type: 'number' } } } }
  app.post('/', { schema, preHandler: fastifyHook(options) }, async (_request, reply) => reply.code(201).send({ fine: true }))
  const key = `k${(keys += 1)}`
  const send = async (body: object): Promise<string> => {
    const headers = { 'idempotency-key': key }
    const answer = await app.inject({ method: 'POST', url: '/', headers, payload: body })
    return `${answer.statusCode} ${String(answer.headers['idempotent-replayed'])}`
  }
  const answers = [await send({ b: 1 }), await send({ a: 1 }), await send({ a: 1 }), await send({ a: 2 })]
  assert.deepEqual(answers, ['400 undefined', '201 undefined', '201 true', '422 undefined'])
  assert.deepEqual(statuses, [400, 201, 201, 422])
  await app.close()
})

const koaWays: Readonly<Record<string, Middleware>> = {
  'an object': (ctx) => void (ctx.body = { a: 1 }),
  'a string': (ctx) => void (ctx.body = 'text'),
  bytes: (ctx) => void (ctx.body = Buffer.from([0, 255])),
  'a stream': (ctx) => void (ctx.body = Readable.from(['a', 'b'])),
  'a Response': (ctx) => void (ctx.body = new Response('web', { status: 202, headers: { 'x-web': '1' } })),
  null: (ctx) => void (ctx.body = null),
  'a status alone': (ctx) => void (ctx.status = 202),
  'an error with a status': (ctx) => ctx.throw(422, 'no'),
  'an answer of its own': (ctx) => {
    ctx.respond = false
    ctx.res.writeHead(203).end('raw')
  },
}

function koaApp(handler: Middleware, isBare: boolean): RequestListener {
  const app = new Koa()
  app.silent = true
  app.use(async (ctx, next) => {
    await next()
    if (typeof ctx.body === 'string') ctx.body = `<${ctx.body}>`
  })
  if (!isBare) app.use(koaMiddleware(options))
  const callback = app.use(handler).callback()
  return (request, response) => void callback(request, response)
}

for (const [way, handler] of Object.entries(koaWays))
  test(`koa: ${way} comes through middleware unchanged, and the replay is the same`, () =>
    assertUnchanged(koaApp(handler, true), koaApp(handler, false)))

test('koa: middleware before the layer comes to its end for replays and refusals too', async () => {
  let ended = 0
  const app = new Koa().use(async (_ctx, next) => {
    await next()
    ended += 1
  })
  const callback = app
    .use(koaMiddleware(options))
    .use((ctx) => void (ctx.body = 'done'))
    .callback()
  const server = createServer((request, response) => void callback(request, response))
  const url = await urlOf(server)
  const key = `k${(keys += 1)}`
  for (const body of ['1', '1', '2']) await ask(url, { path: '/', key, body })
  while (ended < 3) await new Promise(setImmediate)
  server.close()
})

const nestWays: Readonly<Record<string, () => unknown>> = {
  'an object': () => ({ a: 1 }),
  'a promise of text': async () => 'text',
  'an Observable': () => of(1, { last: true }),
  'a StreamableFile': () => new StreamableFile(Buffer.from([0, 255])),
  nothing: () => undefined,
  'an exception': () => {
    throw new UnprocessableEntityException('no')
  },
  'an Observable that throws': (): Observable<never> => throwError(() => new BadRequestException('no')),
}

async function nestApp(handle: (body: unknown) => unknown, layer: 'bare' | 'decorator' | 'global'): Promise<RequestListener> {
  class OneController {
    handle(body: unknown): unknown {
      return handle(body)
    }
  }
  const descriptor = { configurable: true, value: OneController.prototype.handle }
  Post()(OneController.prototype, 'handle', descriptor)
  Body()(OneController.prototype, 'handle', 0)
  if (layer === 'decorator') Idempotent(options)(OneController.prototype, 'handle', descriptor)
  Controller()(OneController)
  // oxlint-disable-next-line typescript/no-extraneous-class -- Nest knows a module by its class
  const OneModule = class {}
  Module({ controllers: [OneController] })(OneModule)
  const app = await NestFactory.create(OneModule, { logger: false })
  if (layer === 'global') app.useGlobalInterceptors(nestInterceptor(options))
  await app.init()
  return app.getHttpAdapter().getInstance()
}

for (const [way, handler] of Object.entries(nestWays))
  test(`nest: ${way} comes through unchanged, and the replay is the same`, async () => {
    for (const layer of ['decorator', 'global'] as const)
      await assertUnchanged(await nestApp(handler, 'bare'), await nestApp(handler, layer))
  })

test('nest: a refusal that is thrown is an answer of its own, remembered and replayed', async () => {
  const app = await nestApp(() => {
    throw refusal(422, 'card declined')
  }, 'decorator')
  const server = createServer(app)
  const url = await urlOf(server)
  const question = { path: '/', key: `k${(keys += 1)}` }
  const [first, second] = [await ask(url, question), await ask(url, question)]
  assert.deepEqual([first.status, codeOf(first)], [422, 'refused'])
  assert.deepEqual([second.text, isReplay(second)], [first.text, true])
  server.close()
})

for (const framework of ['fastify', 'koa'] as const)
  test(`${framework}: the late answer of a handler that was given up is remembered whole`, async () => {
    const impatient = onceward({ store: memory(), attemptTimeout: 200, lease: 2_000 })
    const { promise: due, resolve: finish } = Promise.withResolvers<string>()
    const app = fastify()
    app.post('/', { preHandler: fastifyHook({ ...options, once: impatient }) }, async () => due)
    await app.ready()
    const koa = new Koa().use(koaMiddleware({ ...options, once: impatient })).use(async (ctx) => void (ctx.body = await due))
    const callback = koa.callback()
    const server = createServer((request, response) =>
      framework === 'koa' ? void callback(request, response) : app.routing(request, response),
    )
    const url = await urlOf(server)
    assert.equal(codeOf(await ask(url, { path: '/', key: 'k1' })), 'idempotency_attempt_timeout')
    finish('late')
    const second = await ask(url, { path: '/', key: 'k1' })
    assert.deepEqual([second.status, second.text, isReplay(second)], [200, 'late', true])
    server.close()
    await impatient.close()
  })
