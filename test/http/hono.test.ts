import assert from 'node:assert/strict'
import { gunzipSync } from 'node:zlib'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { Hono, type Context, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { compress } from 'hono/compress'
import { cors } from 'hono/cors'
import { etag } from 'hono/etag'
import { HTTPException } from 'hono/http-exception'
import { requestId } from 'hono/request-id'
import { secureHeaders } from 'hono/secure-headers'
import { stream, streamSSE, streamText } from 'hono/streaming'
import { validator } from 'hono/validator'
import { onceward, refusal } from 'onceward'
import { memory } from 'onceward/memory'
import { attemptOf, byAuthorization, everyone, idempotent, type HttpOptions } from 'onceward/hono'

interface Asked {
  readonly status: number
  readonly text: string
  readonly bytes: Buffer
  readonly headers: Headers
  readonly isReplay: boolean
}

interface Applied {
  readonly app: Hono
  /** Middleware that stands where `app.post('/', …)` has its first. */
  readonly layer: MiddlewareHandler
  ask(init?: { readonly key?: string; readonly body?: string; readonly headers?: Record<string, string> }): Promise<Asked>
}

/** An application without a server, and a way to ask it. */
async function withApp(show: (applied: Applied) => Promise<void>, options: Partial<HttpOptions<Context>> = {}): Promise<void> {
  const once = onceward({ store: memory() })
  const app = new Hono()
  const layer = idempotent<Context>({ once, scope: everyone, onError: () => {}, ...options })
  const ask: Applied['ask'] = async ({ key = 'k1', body, headers = {} } = {}) => {
    const init = { method: 'POST', headers: { 'idempotency-key': key, ...headers }, ...(body !== undefined && { body }) }
    const response = await app.request('/', init)
    const bytes = Buffer.from(await response.arrayBuffer())
    const isReplay = response.headers.get('idempotent-replayed') === 'true'
    return { status: response.status, text: bytes.toString(), bytes, headers: response.headers, isReplay }
  }
  try {
    await show({ app, layer, ask })
  } finally {
    await once.close()
  }
}

/** Every way in which Hono answers. */
const ways: Readonly<Record<string, (c: Context) => Response | Promise<Response>>> = {
  'c.json': (c) => c.json({ a: [1, 'é'] }, 201),
  'c.text': (c) => c.text('text'),
  'c.html': (c) => c.html('<p>html</p>'),
  'c.body with bytes': (c) => c.body(Uint8Array.from([0, 255, 128])),
  'c.body with nothing': (c) => c.body(null, 204),
  'c.header, c.status and c.body': (c) => {
    c.header('x-a', '1')
    c.header('x-a', '2', { append: true })
    c.status(202)
    return c.body('accepted')
  },
  'c.redirect': (c) => c.redirect('/elsewhere', 303),
  'c.notFound': (c) => c.notFound(),
  'a Response of its own': () => new Response('own', { headers: { 'x-a': '1' } }),
  stream: (c) =>
    stream(c, async (to) => {
      await to.write('one ')
      await to.sleep(5)
      await to.write(Uint8Array.from([0, 255]))
    }),
  'stream with a pipe': (c) => stream(c, async (to) => to.pipe(new Blob(['piped']).stream())),
  streamText: (c) =>
    streamText(c, async (to) => {
      for (const word of ['a', 'b']) {
        await to.writeln(word)
        await to.sleep(5)
      }
    }),
  streamSSE: (c) =>
    streamSSE(c, async (to) => {
      for (const id of ['1', '2']) await to.writeSSE({ id, event: 'step', data: 'done' })
    }),
}

const ofOneExchange = ['connection', 'idempotency-key', 'idempotent-replayed', 'content-length', 'transfer-encoding']

function lasting({ status, headers, bytes }: Asked): unknown {
  return { status, headers: [...headers].filter(([name]) => !ofOneExchange.includes(name)), body: bytes.toString('hex') }
}

for (const [way, handler] of Object.entries(ways))
  test(`hono: answering by ${way}: the layer changes nothing, and a replay is the same`, () =>
    withApp(async ({ app, layer, ask }) => {
      app.post('/bare', handler)
      app.post('/', layer, handler)
      const plain = await app.request('/bare', { method: 'POST' })
      const bare = { status: plain.status, headers: plain.headers, bytes: Buffer.from(await plain.arrayBuffer()), text: '' }
      const [first, second] = [await ask(), await ask()]
      assert.deepEqual(lasting(first), lasting({ ...bare, isReplay: false }))
      assert.deepEqual(lasting(second), lasting(first))
      assert.deepEqual([first.isReplay, second.isReplay], [false, true])
    }))

test('hono: an HTTPException is an answer, remembered where its status is', () =>
  withApp(async ({ app, layer, ask }) => {
    let runs = 0
    app.post('/', layer, async (c) => {
      runs += 1
      throw new HTTPException((await c.req.json<{ status: 422 | 503 }>()).status, { message: `run ${runs}` })
    })
    for (const time of ['first', 'again']) assert.deepEqual([(await ask({ body: '{"status":422}' })).text, time], ['run 1', time])
    for (const run of ['run 2', 'run 3']) assert.equal((await ask({ key: 'k2', body: '{"status":503}' })).text, run)
  }))

test('hono: what app.onError answers is sent, and an attempt whose error it did not make an answer to keep is held as thrown', () =>
  withApp(
    async ({ app, layer, ask }) => {
      let runs = 0
      app.post('/', layer, () => {
        runs += 1
        throw new Error('secret')
      })
      app.onError((error, c) => c.json({ sorry: error.message.length }, 500, { 'x-error': '1' }))
      const first = await ask()
      assert.deepEqual([first.status, first.text, first.headers.get('x-error')], [500, '{"sorry":6}', '1'])
      assert.equal(first.headers.get('idempotency-key'), 'k1')
      const second = await ask()
      assert.deepEqual([second.status, runs], [409, 1])
      assert.match(second.text, /idempotency_outcome_unknown/)
    },
    { interrupted: { thrown: 'hold', answered: 'retry' } },
  ))

test('hono: a refusal that a handler throws is remembered, as its own answer or as what app.onError makes of it', () =>
  withApp(async ({ app, layer, ask }) => {
    app.use(async (c, next) => {
      c.header('x-present', '1')
      await next()
    })
    app.post('/', layer, () => {
      throw refusal(402, 'card declined')
    })
    app.onError((_error, c) => c.text('failed', 500))
    const [first, second] = [await ask(), await ask()]
    assert.deepEqual([first.status, second.status, second.isReplay], [402, 402, true])
    assert.match(first.text, /"code":"refused"/)
    assert.deepEqual([first.headers.get('x-present'), second.headers.get('x-present')], ['1', '1'])
    app.onError((error, c) => c.text(`in our own words: ${error.message}`, 402))
    assert.deepEqual(
      [(await ask({ key: 'k2' })).text, (await ask({ key: 'k2' })).text],
      Array(2).fill('in our own words: card declined'),
    )
  }))

test('hono: a body that a layer before has read is compared as it is handed to the handler', () =>
  withApp(async ({ app, layer, ask }) => {
    const read: Readonly<Record<string, (c: Context) => Promise<unknown>>> = {
      json: async (c) => c.req.json(),
      text: async (c) => c.req.text(),
      arrayBuffer: async (c) => c.req.arrayBuffer(),
      blob: async (c) => c.req.blob(),
    }
    app.use(async (c, next) => {
      await read[c.req.header('x-before') ?? '']?.(c)
      await next()
    })
    app.post('/', layer, async (c) => c.json({ got: await c.req.json<unknown>() }))
    for (const before of ['json', 'text', 'arrayBuffer', 'blob', 'none']) {
      const headers = { 'content-type': 'application/json', 'x-before': before }
      const send = async (body: string): Promise<Asked> => ask({ key: before, body, headers })
      assert.equal((await send('{"a":1,"b":2}')).text, '{"got":{"a":1,"b":2}}', before)
      assert.ok((await send('{"b":2, "a":1}')).isReplay, before)
      assert.equal((await send('{"a":1,"b":3}')).status, 422, before)
    }
  }))

test('hono: a handler may read its body in any way behind the layer', () =>
  withApp(async ({ app, layer, ask }) => {
    app.post('/', layer, async (c) => {
      switch (c.req.header('x-way') ?? '') {
        case 'raw':
          return c.text(await c.req.raw.text())
        case 'clone':
          return c.text(await c.req.raw.clone().text())
        case 'parseBody':
          return c.json(await c.req.parseBody())
        default:
          return c.body(await c.req.arrayBuffer())
      }
    })
    for (const way of ['raw', 'clone', 'arrayBuffer'])
      assert.equal((await ask({ key: way, body: 'body', headers: { 'x-way': way } })).text, 'body')
    const form = { 'content-type': 'application/x-www-form-urlencoded', 'x-way': 'parseBody' }
    assert.equal((await ask({ key: 'form', body: 'a=1', headers: form })).text, '{"a":"1"}')
  }))

test('hono: a form that a layer before has read is compared by its fields and files, whatever its boundary', () =>
  withApp(async ({ app, layer, ask }) => {
    app.use(async (c, next) => {
      if (c.req.query('by') === 'parseBody') await c.req.parseBody()
      else await c.req.formData()
      await next()
    })
    app.post('/', layer, (c) => c.text('done'))
    const form = (boundary: string, file: string): { body: string; headers: Record<string, string> } => ({
      body: `--${boundary}\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\n${file}\r\n--${boundary}--\r\n`,
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    })
    assert.equal((await ask(form('aaa', 'one'))).text, 'done')
    assert.ok((await ask(form('bbb', 'one'))).isReplay)
    assert.equal((await ask(form('aaa', 'two'))).status, 422)
  }))

test('hono: a validator may stand before the layer or behind it, and what it refuses before is not remembered', () =>
  withApp(async ({ app, layer, ask }) => {
    const valid = validator('json', (value: { readonly a?: unknown }, c) => (value.a === 1 ? value : c.text('invalid', 400)))
    app.post('/', valid, layer, (c) => c.json(c.req.valid('json')))
    const headers = { 'content-type': 'application/json' }
    assert.equal((await ask({ body: '{"a":2}', headers })).status, 400)
    assert.equal((await ask({ body: '{"a":1}', headers })).text, '{"a":1}')
    assert.ok((await ask({ body: '{"a":1}', headers })).isReplay)
  }))

test('hono: a body whose length is limited before the layer is refused by that limit, and leaves no record', () =>
  withApp(async ({ app, layer }) => {
    app.post('/', bodyLimit({ maxSize: 10, onError: (c) => c.text('too long', 413) }), layer, async (c) =>
      c.text(await c.req.text()),
    )
    const body = (text: string): ReadableStream => new Blob([text]).stream()
    const send = async (text: string): Promise<Asked> => {
      const init = {
        method: 'POST',
        headers: { 'idempotency-key': 'k1', 'transfer-encoding': 'chunked' },
        duplex: 'half',
      } as const
      const response = await app.request('/', { ...init, body: body(text) })
      return {
        status: response.status,
        text: await response.text(),
        bytes: Buffer.alloc(0),
        headers: response.headers,
        isReplay: false,
      }
    }
    assert.equal((await send('much more than ten')).text, 'too long')
    assert.equal((await send('short')).text, 'short')
    assert.equal((await send('other')).status, 422)
  }))

test('hono: headers of layers before are those of the present request, in first answers, replays and refusals', () =>
  withApp(async ({ app, layer, ask }) => {
    app.use(requestId(), secureHeaders(), cors({ origin: ['https://a.test', 'https://b.test'], exposeHeaders: ['ETag'] }))
    app.use(async (c, next) => {
      c.header('x-before', c.req.header('x-of'))
      await next()
      c.header('x-after', c.req.header('x-of'))
    })
    app.post('/', layer, (c) => c.text('done'))
    const send = (of: string, body = '1'): Promise<Asked> =>
      ask({ body, headers: { origin: `https://${of}.test`, 'x-of': of, 'x-request-id': of } })
    for (const [of, body, status, isReplay] of [
      ['a', '1', 200, false],
      ['b', '1', 200, true],
      ['b', '2', 422, false],
    ] as const) {
      const answer = await send(of, body)
      assert.deepEqual([answer.status, answer.isReplay], [status, isReplay])
      const names = ['access-control-allow-origin', 'x-after', 'x-request-id', 'access-control-expose-headers', 'x-frame-options']
      assert.deepEqual(
        names.map((name) => answer.headers.get(name)),
        [`https://${of}.test`, of, of, 'ETag, Idempotent-Replayed', 'SAMEORIGIN'],
      )
    }
  }))

test('hono: behind compression the plain answer is remembered, and every replay is compressed for its own client', () =>
  withApp(async ({ app, layer, ask }) => {
    const text = 'a line that compresses well\n'.repeat(100)
    app.post('/', compress(), layer, (c) => {
      if (c.req.header('x-streamed') !== '1') return c.text(text)
      c.header('content-type', 'text/plain')
      return stream(c, async (to) => void (await to.write(text)))
    })
    const zipped = { 'accept-encoding': 'gzip' }
    for (const isReplay of [false, true]) {
      const answer = await ask({ headers: zipped })
      assert.deepEqual([answer.headers.get('content-encoding'), answer.isReplay], ['gzip', isReplay])
      assert.equal(gunzipSync(answer.bytes).toString(), text)
    }
    const streamed = await ask({ key: 'k2', headers: { ...zipped, 'x-streamed': '1' } })
    assert.equal(gunzipSync(streamed.bytes).toString(), text)
    const plain = await ask()
    assert.deepEqual([plain.headers.get('content-encoding'), plain.text, plain.isReplay], [null, text, true])
  }))

test('hono: compression behind the layer is part of the answer', () =>
  withApp(async ({ app, layer, ask }) => {
    const text = 'a line that compresses well\n'.repeat(100)
    app.post('/', layer, compress(), (c) => c.text(text))
    const answers = [await ask({ headers: { 'accept-encoding': 'gzip' } }), await ask({ headers: { 'accept-encoding': 'gzip' } })]
    for (const answer of answers) assert.equal(gunzipSync(answer.bytes).toString(), text)
    assert.deepEqual(
      answers.map(({ isReplay }) => isReplay),
      [false, true],
    )
  }))

test('hono: a layer that reads a clone of a streamed answer before it passes it on finds the same in its replay', () =>
  withApp(async ({ app, layer, ask }) => {
    const digest: MiddlewareHandler = async (c, next) => {
      await next()
      c.header('x-length', String((await c.res.clone().arrayBuffer()).byteLength))
    }
    app.post('/', etag(), digest, layer, (c) =>
      streamText(c, async (to) => {
        await to.write('one')
        await to.sleep(5)
        await to.write('two')
      }),
    )
    for (const answer of [await ask(), await ask()])
      assert.deepEqual([answer.headers.get('x-length'), answer.text], ['6', 'onetwo'])
  }))

test('hono: the layer stands for many routes, in applications that are mounted, and each path is its own operation', () =>
  withApp(async ({ app, layer }) => {
    const shop = new Hono()
    shop.use(layer)
    shop.post('/orders/:id', (c) => c.text(`order ${c.req.param('id')} attempt ${attemptOf(c)?.number}`))
    app.route('/shop', shop)
    const send = async (path: string): Promise<string> => {
      const response = await app.request(path, { method: 'POST', headers: { 'idempotency-key': 'k1' } })
      return `${await response.text()} ${response.headers.get('idempotent-replayed')}`
    }
    assert.equal(await send('/shop/orders/1'), 'order 1 attempt 1 null')
    assert.equal(await send('/shop/orders/2'), 'order 2 attempt 1 null')
    assert.equal(await send('/shop/orders/1'), 'order 1 attempt 1 true')
    assert.equal((await app.request('/shop/orders/1')).status, 404)
  }))

test('hono: a layer that stands twice before a handler is a mistake of the set-up, and says so', () =>
  withApp(async ({ app, layer, ask }) => {
    app.post('/', layer, layer, (c) => c.text('never'))
    const answer = await ask()
    assert.equal(answer.status, 500)
    assert.match(answer.text, /idempotency_misconfigured/)
  }))

test('hono: scope is given the context with its variables', async () => {
  type Env = { Variables: { account: string } }
  const once = onceward({ store: memory() })
  const app = new Hono<Env>()
  let runs = 0
  app.use(async (c, next) => {
    c.set('account', c.req.header('x-account') ?? '')
    await next()
  })
  app.post('/', idempotent({ once, scope: (c: Context<Env>) => c.get('account') }), (c) => c.text(String((runs += 1))))
  app.post('/header', idempotent({ once, scope: (c) => c.req.header('x-account') ?? '' }), (c) => c.text(String((runs += 1))))
  app.post('/authorization', idempotent({ once, scope: byAuthorization({ secret: 'a secret of the servers' }) }), (c) =>
    c.text(String((runs += 1))),
  )
  const send = async (path: string, account: string): Promise<string> => {
    const headers = { 'idempotency-key': 'k1', 'x-account': account, authorization: account }
    return (await app.request(path, { method: 'POST', headers })).text()
  }
  for (const path of ['/', '/header', '/authorization']) {
    const [one, two, again] = [await send(path, 'one'), await send(path, 'two'), await send(path, 'one')]
    assert.notEqual(one, two)
    assert.equal(again, one)
  }
  await once.close()
})

test('hono: an error that a helper for streams catches ends the answer as if it were whole, unless its handler fails the stream', () =>
  withApp(async ({ app, layer, ask }) => {
    app.post('/', layer, (c) =>
      stream(
        c,
        async (to) => {
          await to.write('half')
          await sleep(5)
          throw new Error('caught by the helper')
        },
        async (_error, to) => void (await to.write(', and no more')),
      ),
    )
    assert.deepEqual([(await ask()).text, (await ask()).text], ['half, and no more', 'half, and no more'])
  }))
