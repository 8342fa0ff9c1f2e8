import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { once as eventOf } from 'node:events'
import { buffer as whole } from 'node:stream/consumers'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { ask, codeOf, isReplay, rawPost, sendRaw } from '../../src/testing/http/ask.ts'
import { expressOf, allFrameworks, serve, type Handler } from './serving.ts'
import type { IncomingMessage } from 'node:http'
import type { Request, Response } from 'express'

/** Ways to read a request, each of which must find it as if nobody had read it before. */
const readers: Readonly<Record<string, (request: IncomingMessage) => Promise<Buffer>>> = {
  'for await': async (request) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  },
  'data and end': (request) =>
    new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => resolve(Buffer.concat(chunks)))
      request.on('error', reject)
    }),
  'data and end, attached late': async (request) => {
    await new Promise((resolve) => setTimeout(resolve, 30))
    return new Promise((resolve) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => resolve(Buffer.concat(chunks)))
    })
  },
  pipe: (request) => whole(request.pipe(new PassThrough())),
  'readable and read': (request) =>
    new Promise((resolve) => {
      const chunks: Buffer[] = []
      request.on('readable', () => {
        for (let chunk: unknown = request.read(); chunk !== null; chunk = request.read()) chunks.push(chunk as Buffer)
      })
      request.on('end', () => resolve(Buffer.concat(chunks)))
    }),
  'text in utf8': async (request) => {
    let text = ''
    request.setEncoding('utf8')
    for await (const chunk of request) text += String(chunk)
    return Buffer.from(text)
  },
}

const sizes = [0, 1, 1_000, 65_536, 1_048_576]

function payload(size: number): Buffer {
  return Buffer.from('0123456789abcdef'.repeat(Math.ceil(size / 16)).slice(0, size))
}

for (const framework of allFrameworks)
  for (const [way, read] of Object.entries(readers))
    test(`${framework}: a handler that reads its body with ${way} finds all of it, however it came`, async () => {
      const handler: Handler = async (request, response) => response.end(await read(request))
      const served = await serve(framework, handler)
      try {
        for (const size of sizes)
          for (const chunked of [false, true]) {
            const body = payload(size)
            const headers = { 'content-type': 'text/plain', ...(chunked ? { 'transfer-encoding': 'chunked' } : {}) }
            const answer = await ask(served.url, { path: '/', key: `k${size}${chunked}`, body, headers })
            assert.ok(answer.body.equals(body), `${size} bytes, chunked: ${chunked}`)
          }
        assert.equal((await ask(served.url, { path: '/', key: 'none' })).body.length, 0)
      } finally {
        await served.close()
      }
    })

for (const framework of ['express', 'express4'] as const) {
  const express = expressOf(framework)
  const count = (): { handler: Handler; effects: () => number } => {
    let effects = 0
    return {
      handler: (request, response) => {
        effects += 1
        ;(response as Response).json({ body: (request as Request).body as unknown, effects })
      },
      effects: () => effects,
    }
  }

  test(`${framework}: a body parser behind the layer parses the body`, async () => {
    const { handler, effects } = count()
    const served = await serve(framework, handler, {
      behind: [express.json(), express.urlencoded({ extended: false }), express.text()],
    })
    try {
      const json = { path: '/', key: 'k1', body: '{"a":[1]}' }
      assert.equal((await ask(served.url, json)).text, '{"body":{"a":[1]},"effects":1}')
      assert.ok(isReplay(await ask(served.url, json)))
      const form = { path: '/', key: 'k2', body: 'a=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } }
      assert.equal((await ask(served.url, form)).text, '{"body":{"a":"1"},"effects":2}')
      const empty = { path: '/', key: 'k3', headers: { 'transfer-encoding': 'chunked', 'content-type': 'application/json' } }
      assert.equal((await ask(served.url, empty)).status, 200)
      assert.equal(effects(), 3)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: bad JSON is refused by the parser behind the layer, and is its outcome`, async () => {
    const { handler, effects } = count()
    const served = await serve(framework, handler, { behind: [express.json()] })
    try {
      const first = await ask(served.url, { path: '/', key: 'k1', body: '{' })
      assert.equal(first.status, 400)
      assert.ok(isReplay(await ask(served.url, { path: '/', key: 'k1', body: '{' })))
      assert.equal(effects(), 0)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: behind a body parser the parsed body is compared`, async () => {
    const { handler, effects } = count()
    const parsers = [
      express.json(),
      express.urlencoded({ extended: true }),
      express.text(),
      express.raw({ type: 'application/vnd.raw+json' }),
    ]
    const served = await serve(framework, handler, { before: parsers })
    try {
      for (const [type, one, same, other] of [
        ['application/json', '{"a":1,"b":2}', '{ "b":2, "a":1 }', '{"a":1,"b":3}'],
        ['application/x-www-form-urlencoded', 'a=1&b=2', 'b=2&a=1', 'a=1&b=3'],
        ['text/plain', 'one', 'one', 'two'],
        ['application/vnd.raw+json', '{"a":1,"b":2}', '{ "b":2, "a":1 }', '{"a":1,"b":3}'],
        ['application/unknown', 'one', 'one', 'two'],
      ] as const) {
        const send = (body: string): ReturnType<typeof ask> =>
          ask(served.url, { path: '/', key: type, body, headers: { 'content-type': type } })
        assert.equal((await send(one)).status, 200, type)
        assert.ok(isReplay(await send(same)), type)
        assert.equal(codeOf(await send(other)), 'idempotency_key_reused', type)
      }
      assert.equal(effects(), 5)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: files that an upload parser has read are compared by their bytes`, async () => {
    const { handler, effects } = count()
    const upload = (request: Request, _response: unknown, next: () => void): void => {
      request.on('data', (chunk: Buffer) =>
        Object.assign(request, { file: { fieldname: 'f', mimetype: 'x', size: 1, buffer: chunk } }),
      )
      request.on('end', () => next())
    }
    const served = await serve(framework, handler, { before: [upload] })
    try {
      const send = (body: string): ReturnType<typeof ask> => ask(served.url, { path: '/', key: 'k1', body: Buffer.from(body) })
      assert.equal((await send('one')).status, 200)
      assert.ok(isReplay(await send('one')))
      assert.equal(codeOf(await send('two')), 'idempotency_key_reused')
      assert.equal(effects(), 1)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a body that somebody has read and left nothing of is a mistake of the set-up, and says so`, async () => {
    const { handler, effects } = count()
    const thief = (request: Request, _response: unknown, next: () => void): void => {
      request.resume().on('end', () => next())
    }
    const onDisk = (request: Request, _response: unknown, next: () => void): void => {
      Object.assign(request, { body: {}, file: { fieldname: 'f', mimetype: 'x', size: 1, path: '/elsewhere' } })
      request.resume().on('end', () => next())
    }
    const eavesdropper = (request: Request, _response: unknown, next: () => void): void => {
      request.on('data', () => {})
      next()
    }
    for (const before of [thief, onDisk, eavesdropper]) {
      const served = await serve(framework, handler, { before: [before] })
      const answer = await ask(served.url, { path: '/', key: 'k1', body: '{}' })
      assert.deepEqual([answer.status, codeOf(answer)], [500, 'idempotency_misconfigured'])
      assert.match(answer.text, /put idempotent\(\) before it/)
      await served.close()
    }
    assert.equal(effects(), 0)
  })
}

for (const framework of allFrameworks) {
  const echo: Handler = async (request, response) => response.end(`[${(await whole(request)).toString()}]`)

  test(`${framework}: pipelined requests on one connection are answered in order, each once`, async () => {
    const served = await serve(framework, echo)
    try {
      const keepAlive = (key: string, body: string): string =>
        `POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      const chunked = 'POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nff\r\n0\r\n\r\n'
      const requests = [
        keepAlive('a', 'one'),
        keepAlive('b', ''),
        keepAlive('a', 'one'),
        chunked,
        rawPost('/', ['Idempotency-Key: c'], 'end'),
      ]
      const answers = await sendRaw(served.url, requests.join(''))
      assert.deepEqual(answers.match(/\[\w*\]/g), ['[one]', '[]', '[one]', '[ff]', '[end]'])
      assert.equal(answers.match(/Idempotent-Replayed: true/g)?.length, 1)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a client that waits for 100 Continue is told to go on`, async () => {
    const served = await serve(framework, echo)
    try {
      const { hostname, port } = new URL(served.url)
      const socket = connect(Number(port), hostname)
      let text = ''
      socket.on('data', (chunk) => (text += String(chunk)))
      socket.write(
        'POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n',
      )
      while (!text.includes('100 Continue')) await eventOf(socket, 'data')
      socket.write('yes')
      await eventOf(socket, 'close')
      assert.match(text, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 [^]*\[yes\]/)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a handler that never looks at a large body leaves the connection usable`, async () => {
    const served = await serve(framework, (_, response) => response.end('done'))
    try {
      const body = 'x'.repeat(500_000)
      const large = (key: string): string =>
        `POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      const answers = await sendRaw(
        served.url,
        `${large('a')}${large('a')}${rawPost('/', ['Idempotency-Key: b'], 'end').toString()}`,
      )
      assert.equal(answers.match(/\r\n\r\ndone/g)?.length, 3)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a body that no handler reads does not stay in memory`, async () => {
    const requests: IncomingMessage[] = []
    const remember = (request: IncomingMessage, _: unknown, next: () => void): void => {
      requests.push(request)
      next()
    }
    const served = await serve(framework, (_, response) => response.end('done'), { before: [remember] })
    try {
      for (const body of ['one', 'one', 'two']) await ask(served.url, { path: '/', key: 'k1', body })
      while (requests.some(({ readableLength }) => readableLength > 0)) await new Promise(setImmediate)
      assert.deepEqual(
        requests.map(({ readableEnded }) => readableEnded),
        [true, true, true],
      )
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a body larger than may be compared is refused before anything is claimed, with the remedy`, async () => {
    let effects = 0
    const handler: Handler = (_, response) => response.end(String((effects += 1)))
    const served = await serve(framework, handler, { http: { requestBytesMax: 1_000 } })
    try {
      for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
        const answer = await ask(served.url, { path: '/', key: 'k1', body: Buffer.alloc(1_001), headers })
        assert.deepEqual([answer.status, codeOf(answer)], [413, 'idempotency_request_too_large'])
        assert.match(answer.text, /requestBytesMax/)
      }
      assert.equal(effects, 0)
      assert.equal((await ask(served.url, { path: '/', key: 'k1', body: Buffer.alloc(1_000) })).text, '1')
    } finally {
      await served.close()
    }
  })

  test(`${framework}: with a fingerprint of the application's own the body is not read`, async () => {
    let effects = 0
    const handler: Handler = async (request, response) => {
      effects += 1
      response.end(String((await whole(request)).length))
    }
    const fingerprint = (request: IncomingMessage): unknown => ({ order: request.headers['x-order'] })
    const served = await serve(framework, handler, { http: { requestBytesMax: 10, fingerprint } })
    try {
      const send = (order: string, size: number): ReturnType<typeof ask> =>
        ask(served.url, { path: '/', key: 'k1', body: Buffer.alloc(size), headers: { 'x-order': order } })
      assert.equal((await send('1', 2_000_000)).text, '2000000')
      assert.ok(isReplay(await send('1', 5)))
      assert.equal(codeOf(await send('2', 2_000_000)), 'idempotency_key_reused')
      assert.equal(effects, 1)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: only the parts that the fingerprint lists are compared`, async () => {
    let effects = 0
    const served = await serve(framework, (_, response) => response.end(String((effects += 1))), {
      http: { fingerprint: ['query'] },
    })
    try {
      assert.equal((await ask(served.url, { path: '/?a=1', key: 'k1', body: '1' })).text, '1')
      assert.ok(isReplay(await ask(served.url, { path: '/?a=1', key: 'k1', body: '2' })))
      assert.equal(codeOf(await ask(served.url, { path: '/?a=2', key: 'k1', body: '1' })), 'idempotency_key_reused')
    } finally {
      await served.close()
    }
  })
}
