import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { ask, isReplay, type Answered } from '../../src/testing/http/ask.ts'
import { fetchFrameworks, serveFetch, type Handler } from './fetch-serving.ts'

const encoder = new TextEncoder()

async function* slowly(...chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    yield encoder.encode(chunk)
    await sleep(5)
  }
}

async function* large(): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < 20; index += 1) yield new Uint8Array(10_000).fill(48 + (index % 10))
}

/** One buffer, filled anew for every chunk. */
function fromOneBuffer(): ReadableStream<Uint8Array> {
  const buffer = new Uint8Array(1_000)
  const letters = ['a', 'b', 'c']
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        await sleep(1)
        const letter = letters.shift()
        if (letter === undefined) return controller.close()
        buffer.fill(letter.charCodeAt(0))
        controller.enqueue(buffer)
      },
    },
    { highWaterMark: 0 },
  )
}

/** Ways to answer with a Response, each of which must come through unchanged. */
const ways: Readonly<Record<string, Handler>> = {
  text: () => new Response('héllo'),
  'empty text': () => new Response(''),
  'no body': () => new Response(null),
  'no body and a status': () => new Response(null, { status: 201, headers: { location: '/made/1' } }),
  JSON: () => Response.json({ a: [1, 'é'] }, { status: 201 }),
  bytes: () =>
    new Response(
      Uint8Array.from({ length: 256 }, (_, byte) => byte),
      { headers: { 'content-type': 'a/b' } },
    ),
  'an ArrayBuffer': () => new Response(new Uint8Array([0, 255]).buffer, { headers: { 'content-type': 'a/b' } }),
  'gzip bytes': () => new Response(gzipSync('zipped'), { headers: { 'content-encoding': 'gzip', 'content-type': 'text/plain' } }),
  'a blob': () => new Response(new Blob(['bl', 'ob'], { type: 'text/x-blob' })),
  'search parameters': () => new Response(new URLSearchParams({ a: 'é' })),
  'another turn': async () => {
    await sleep(5)
    return new Response('later')
  },
  'status 204': () => new Response(null, { status: 204, headers: { 'x-a': '1' } }),
  'status 205': () => new Response(null, { status: 205 }),
  'status 304': () => new Response(null, { status: 304, headers: { etag: '"1"' } }),
  'status 404': () => new Response('none', { status: 404, statusText: 'Nowhere' }),
  'a redirect, whose headers nobody can change': () => Response.redirect('http://elsewhere.test/made', 303),
  'appended headers': () => {
    const headers = new Headers({ 'content-type': 'text/plain', 'x-a': '1' })
    headers.append('x-a', '2')
    return new Response('headers', { headers })
  },
  'a stream of one turn': () => new Response(ReadableStream.from([encoder.encode('a'), encoder.encode('b')])),
  'a stream over turns': () => new Response(ReadableStream.from(slowly('a', 'b', 'c'))),
  'an empty stream': () => new Response(ReadableStream.from(slowly()), { headers: { 'content-type': 'text/plain' } }),
  'a stream of one buffer that is used again': () => new Response(fromOneBuffer()),
  'a stream of bytes': () =>
    new Response(
      new ReadableStream({
        type: 'bytes',
        pull(controller) {
          controller.enqueue(encoder.encode('bytes'))
          controller.close()
        },
      }),
    ),
  'a stream through another': () => new Response(ReadableStream.from(slowly('a', 'b')).pipeThrough(new TransformStream())),
  'a stream with a declared length': () =>
    new Response(ReadableStream.from(slowly('ab', 'cd', 'ef')), {
      headers: { 'content-type': 'text/plain', 'content-length': '6' },
    }),
  'large in one piece': () => new Response('y'.repeat(200_000)),
  'large in pieces': () => new Response(ReadableStream.from(large())),
  'large in one piece with a declared length': () =>
    new Response('y'.repeat(200_000), { headers: { 'content-type': 'text/plain', 'content-length': '200000' } }),
}

const changing = [
  'date',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'idempotency-key',
  'idempotent-replayed',
]

function lasting({ status, headers, body }: Answered): unknown {
  const kept = Object.entries(headers).filter(([name]) => !changing.includes(name))
  return { status, headers: Object.fromEntries(kept), body: body.toString('latin1') }
}

for (const framework of fetchFrameworks) {
  for (const [way, handler] of Object.entries(ways))
    test(`${framework}: answering with ${way}: the layer changes nothing, and the replay is the same`, async () => {
      const bare = await serveFetch(framework, handler, { bare: true })
      const served = await serveFetch(framework, handler)
      try {
        const plain = await ask(bare.url, { path: '/' })
        const first = await ask(served.url, { path: '/', key: 'k1' })
        const second = await ask(served.url, { path: '/', key: 'k1' })
        assert.deepEqual(lasting(first), lasting(plain))
        assert.deepEqual(lasting(second), lasting(plain))
        assert.deepEqual([isReplay(first), isReplay(second)], [false, true])
        assert.deepEqual([...served.errors, ...served.thrown], [])
      } finally {
        await Promise.all([bare.close(), served.close()])
      }
    })

  test(`${framework}: every Set-Cookie reaches the first client and none a replay`, async () => {
    const served = await serveFetch(framework, () => {
      const headers = new Headers({ 'set-cookie': 'a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT' })
      headers.append('set-cookie', 'b=2')
      return new Response('cookies', { headers })
    })
    try {
      const first = await ask(served.url, { path: '/', key: 'k1' })
      assert.deepEqual(first.headers['set-cookie'], ['a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT', 'b=2'])
      assert.equal((await ask(served.url, { path: '/', key: 'k1' })).headers['set-cookie'], undefined)
    } finally {
      await served.close()
    }
  })

  test(`${framework}: an answer that is there in one turn says how long it is, and so does its replay`, async () => {
    for (const body of ['held', 'x'.repeat(65_536)]) {
      const served = await serveFetch(framework, () => new Response(body))
      for (const time of ['first', 'again'])
        assert.equal((await ask(served.url, { path: '/', key: 'k1' })).headers['content-length'], String(body.length), time)
      await served.close()
    }
  })
}
