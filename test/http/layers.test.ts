import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { once as eventOf } from 'node:events'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import express5, { type Request } from 'express'
import { onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { attemptOf, byAuthorization, idempotent } from 'onceward/express'
import { ask, begin, codeOf, isReplay } from '../../src/testing/http/ask.ts'
import { compression } from './compression.ts'
import { allFrameworks, serve, type Handler } from './serving.ts'

const text = 'a line that compresses well\n'.repeat(100)

for (const framework of allFrameworks) {
  test(`${framework}: behind compression the plain answer is remembered, and every replay compressed for its own client`, async () => {
    const handler: Handler = (_, response) => response.setHeader('content-type', 'text/plain').end(text)
    const served = await serve(framework, handler, { before: [compression] })
    try {
      const gzip = { 'accept-encoding': 'gzip' }
      const first = await ask(served.url, { path: '/', key: 'k1', headers: gzip })
      const second = await ask(served.url, { path: '/', key: 'k1', headers: gzip })
      const plain = await ask(served.url, { path: '/', key: 'k1' })
      for (const answer of [first, second]) {
        assert.equal(answer.headers['content-encoding'], 'gzip')
        assert.equal(gunzipSync(answer.body).toString(), text)
      }
      assert.deepEqual([plain.headers['content-encoding'], plain.text], [undefined, text])
      assert.deepEqual([first, second, plain].map(isReplay), [false, true, true])
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a streamed answer behind compression reaches the client whole`, async () => {
    const handler: Handler = (_, response) => {
      response.setHeader('content-type', 'text/plain')
      Readable.from(['one ', 'two ', text.repeat(60)]).pipe(response)
    }
    const served = await serve(framework, handler, { before: [compression] })
    try {
      for (const key of ['k1', 'k1']) {
        const answer = await ask(served.url, { path: '/', key, headers: { 'accept-encoding': 'gzip' } })
        assert.equal(gunzipSync(answer.body).toString(), `one two ${text.repeat(60)}`)
      }
    } finally {
      await served.close()
    }
  })

  test(`${framework}: what travels with the application's asynchronous calls reaches the handler`, async () => {
    const storage = new AsyncLocalStorage<string>()
    const served = await serve(framework, (_, response) => response.end(storage.getStore()))
    const [listener] = served.server.listeners('request') as [(...values: unknown[]) => void]
    served.server.removeAllListeners('request')
    served.server.on('request', (request, response) =>
      storage.run(String(request.headers['x-trace']), () => listener(request, response)),
    )
    try {
      const traces = ['a', 'b', 'c', 'd']
      const answers = await Promise.all(
        traces.map((trace) => ask(served.url, { path: '/', key: trace, body: '{}', headers: { 'x-trace': trace } })),
      )
      assert.deepEqual(
        answers.map((answer) => answer.text),
        traces,
      )
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a client that reads slowly slows the handler down, and memory does not fill`, async () => {
    let produced = 0
    const source = (): Readable =>
      new Readable({
        read() {
          produced += 65_536
          this.push(produced > 64_000_000 ? null : Buffer.alloc(65_536))
        },
      })
    const served = await serve(framework, (_, response) => void source().pipe(response))
    try {
      const response = await begin(served.url, { path: '/', key: 'k1' })
      response.pause()
      await sleep(300)
      assert.ok(produced < 32_000_000, `${produced} bytes were produced for a client that does not read`)
      let received = 0
      for await (const chunk of response) received += (chunk as Buffer).length
      assert.ok(received > 63_000_000)
      assert.equal(codeOf(await ask(served.url, { path: '/', key: 'k1' })), 'idempotency_outcome_not_kept')
    } finally {
      await served.close()
    }
  })

  test(`${framework}: informational answers pass through`, async () => {
    const served = await serve(framework, (_, response) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      response.end('done')
    })
    try {
      const answer = await ask(served.url, { path: '/', key: 'k1' })
      assert.equal(answer.text, 'done')
      assert.equal((await ask(served.url, { path: '/', key: 'k1' })).headers['link'], undefined)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a duplicate whose client goes away while it waits gives up its place`, async () => {
    const handler: Handler = async (_, response) => {
      await sleep(500)
      response.end('done')
    }
    const served = await serve(framework, handler, { engine: { waitersMax: 1 } })
    try {
      const first = ask(served.url, { path: '/', key: 'k1' })
      await sleep(50)
      const gone = AbortSignal.timeout(50)
      await assert.rejects(fetch(served.url, { method: 'POST', headers: { 'idempotency-key': 'k1' }, signal: gone }))
      await sleep(50)
      const third = await ask(served.url, { path: '/', key: 'k1' })
      assert.deepEqual([third.text, isReplay(third), (await first).text], ['done', true, 'done'])
      assert.deepEqual(served.errors, [])
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a server that closes lets the held answer of a running handler out`, async () => {
    const served = await serve(framework, async (_, response) => {
      await sleep(100)
      response.end('in time')
    })
    const answer = ask(served.url, { path: '/', key: 'k1', headers: { connection: 'keep-alive' } })
    await sleep(30)
    served.server.close()
    assert.equal((await answer).text, 'in time')
    await served.close()
  })
}

async function appOf(
  mount: (app: express5.Express, layer: ReturnType<typeof idempotent<Request>>) => void,
): Promise<{ url: string; close: () => Promise<void> }> {
  const once = onceward({ store: memory() })
  const app = express5()
  mount(app, idempotent<Request>({ once, scope: byAuthorization({ secret: '0123456789abcdef' }) }))
  const server = createServer(app).listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once.close()
    },
  }
}

test('express: routers mounted at two places keep their operations apart', async () => {
  let runs = 0
  const { url, close } = await appOf((app, layer) => {
    const router = express5
      .Router()
      .post('/pay', layer, (request, response) => void response.send(`${(runs += 1)} ${request.baseUrl}`))
    app.use('/a', router).use('/b', router)
  })
  try {
    assert.equal((await ask(url, { path: '/a/pay', key: 'k1' })).text, '1 /a')
    assert.equal((await ask(url, { path: '/b/pay', key: 'k1' })).text, '2 /b')
    assert.ok(isReplay(await ask(url, { path: '/a/pay', key: 'k1' })))
  } finally {
    await close()
  }
})

test('express: the layer mounted twice before one handler is a mistake, and says so', async () => {
  const { url, close } = await appOf((app, layer) =>
    app.use(layer).post('/', layer, (_request, response) => void response.send('done')),
  )
  try {
    const answer = await ask(url, { path: '/', key: 'k1' })
    assert.equal(codeOf(answer), 'idempotency_misconfigured')
    assert.match(answer.text, /stands twice/)
  } finally {
    await close()
  }
})

test('express: a handler is told which attempt it is, and callers by their credentials are kept apart', async () => {
  const numbers: unknown[] = []
  const { url, close } = await appOf((app, layer) =>
    app.post('/', layer, (request, response) => {
      numbers.push(attemptOf(request)?.number)
      response.status(numbers.length === 1 ? 500 : 200).end()
    }),
  )
  try {
    for (const token of ['a', 'a', 'a', 'b']) await ask(url, { path: '/', key: 'k1', token })
    assert.deepEqual(numbers, [1, 2, 1])
  } finally {
    await close()
  }
})
