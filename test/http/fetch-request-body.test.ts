import assert from 'node:assert/strict'
import { buffer as whole } from 'node:stream/consumers'
import { test } from 'node:test'
import { ask, codeOf, isReplay, rawPost, sendRaw } from '../../src/testing/http/ask.ts'
import { fetchFrameworks, serveFetch, type Handler } from './fetch-serving.ts'

/** Ways to read a request, each of which must find it as if nobody had read it before. */
const readers: Readonly<Record<string, (request: Request) => Promise<Uint8Array>>> = {
  arrayBuffer: async (request) => new Uint8Array(await request.arrayBuffer()),
  text: async (request) => Buffer.from(await request.text()),
  blob: async (request) => new Uint8Array(await (await request.blob()).arrayBuffer()),
  'the stream of its body': async (request) => (request.body === null ? Buffer.alloc(0) : whole(request.body)),
  'a clone': async (request) => new Uint8Array(await request.clone().arrayBuffer()),
  'a new request made of it': async (request) => new Uint8Array(await new Request(request).arrayBuffer()),
  'arrayBuffer, late': async (request) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return new Uint8Array(await request.arrayBuffer())
  },
}

const sizes = [0, 1, 1_000, 65_536, 1_048_576]

function payload(size: number): Buffer {
  return Buffer.from('0123456789abcdef'.repeat(Math.ceil(size / 16)).slice(0, size))
}

for (const framework of fetchFrameworks) {
  for (const [way, read] of Object.entries(readers))
    test(`${framework}: a handler that reads its request by ${way} finds all of it`, async () => {
      const served = await serveFetch(framework, async (request) => new Response(Buffer.from(await read(request))))
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

  const echo: Handler = async (request) => new Response(`[${await request.text()}]`)

  test(`${framework}: pipelined requests for Responses on one connection are answered in order, each once`, async () => {
    const served = await serveFetch(framework, echo)
    try {
      const keepAlive = (key: string, body: string): string =>
        `POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      const requests = [
        keepAlive('a', 'one'),
        keepAlive('b', ''),
        keepAlive('a', 'one'),
        rawPost('/', ['Idempotency-Key: c'], 'end'),
      ]
      const answers = await sendRaw(served.url, requests.join(''))
      assert.deepEqual(answers.match(/\[\w*\]/g), ['[one]', '[]', '[one]', '[end]'])
      assert.equal(answers.match(/Idempotent-Replayed: true/gi)?.length, 1)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a large body that no handler reads leaves the connection usable`, async () => {
    const served = await serveFetch(framework, () => new Response('done'))
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

  test(`${framework}: a request larger than may be compared is refused before anything is claimed`, async () => {
    let effects = 0
    const served = await serveFetch(framework, () => new Response(String((effects += 1))), { http: { requestBytesMax: 1_000 } })
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

  test(`${framework}: with a fingerprint of the application's own the layer reads no request`, async () => {
    let effects = 0
    const handler: Handler = async (request) => {
      effects += 1
      return new Response(String((await request.arrayBuffer()).byteLength))
    }
    // Hono's context has its request in `req`.
    const fingerprint = (asked: Request & { readonly req?: { readonly raw: Request } }): unknown => ({
      order: (asked.req?.raw ?? asked).headers.get('x-order'),
    })
    const served = await serveFetch(framework, handler, { http: { requestBytesMax: 10, fingerprint } })
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
}
