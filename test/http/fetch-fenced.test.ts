import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { compress } from 'hono/compress'
import { ask, begin, codeOf, isReplay } from '../../src/testing/http/ask.ts'
import { encodeAnswer } from '../../src/http/answer.ts'
import { fetchFrameworks, serveFetch, type Handler } from './fetch-serving.ts'
import type { ExecuteResult, Once } from 'onceward'

const owners = encodeAnswer({ status: 202, headers: [['X-Owner', 'yes']], body: Buffer.from("the owner's answer") })

/** An engine that lets the handler run and then says what became of it: here, that another attempt has taken over. */
function outdone(result: ExecuteResult): Pick<Once, 'execute' | 'sha256' | 'waitMs'> {
  return {
    sha256: (data) => createHash('sha256').update(data).digest('hex'),
    waitMs: 0,
    execute: async (_request, work) => {
      await work({ number: 1, signal: new AbortController().signal, step: () => assert.fail('no step is taken') })
      await sleep(20)
      return result
    },
  }
}

const replayed: ExecuteResult = { state: 'completed', outcome: owners, replayed: true, settled: true }

const heldWays: Readonly<Record<string, Handler>> = {
  text: () => new Response('my own answer', { headers: { 'x-own': '1' } }),
  'status 204': () => new Response(null, { status: 204, headers: { 'x-own': '1' } }),
  'a declared length': () => new Response('own', { status: 201, headers: { 'x-own': '1', 'content-length': '3' } }),
  'a stream of one turn': () =>
    new Response(ReadableStream.from([Buffer.from('my '), Buffer.from('own')]), { headers: { 'x-own': '1' } }),
}

async function* chunks(...given: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of given) {
    yield chunk
    await sleep(20)
  }
}

for (const framework of fetchFrameworks) {
  for (const [way, handler] of Object.entries(heldWays))
    test(`${framework}: an attempt that was taken over answers with its owner's outcome in place of a Response of ${way}`, async () => {
      const served = await serveFetch(framework, handler, { http: { once: outdone(replayed) } })
      try {
        const answer = await ask(served.url, { path: '/', key: 'k1' })
        assert.deepEqual([answer.status, answer.text, isReplay(answer)], [202, "the owner's answer", true])
        const { 'x-own': own, 'x-owner': owner, 'idempotency-key': key, 'content-length': length } = answer.headers
        assert.deepEqual([own, owner, key, length], [undefined, 'yes', 'k1', '18'])
      } finally {
        await served.close()
      }
    })

  test(`${framework}: an attempt that was taken over while its Response flowed is cut off before the end`, async () => {
    const handlers: readonly Handler[] = [
      () => new Response(ReadableStream.from(chunks(Buffer.from('begun'), Buffer.from('ended')))),
      () => new Response('x'.repeat(200_000)),
      () => new Response('x'.repeat(200_000), { headers: { 'content-length': '200000' } }),
      () =>
        new Response(ReadableStream.from(chunks(Buffer.alloc(100_000), Buffer.alloc(100_000))), {
          headers: { 'content-length': '200000' },
        }),
    ]
    for (const handler of handlers) {
      const served = await serveFetch(framework, handler, { http: { once: outdone(replayed) } })
      try {
        await assert.rejects(async () => {
          const response = await begin(served.url, { path: '/', key: 'k1' })
          for await (const chunk of response) assert.ok(chunk)
          assert.equal(response.complete, false)
        }, /aborted|ECONNRESET|socket hang up/)
      } finally {
        await served.close()
      }
    }
  })

  test(`${framework}: an attempt that was taken over and whose owner is still at it is told to ask again`, async () => {
    const busy: ExecuteResult = { state: 'busy', retryAfterMs: 1_200, attempted: true }
    const served = await serveFetch(framework, () => new Response('own'), { http: { once: outdone(busy) } })
    try {
      const answer = await ask(served.url, { path: '/', key: 'k1' })
      assert.deepEqual([codeOf(answer), answer.headers['retry-after']], ['idempotency_in_progress', '2'])
    } finally {
      await served.close()
    }
  })
}

test("hono: in place of an answer of its own an attempt's owner has the headers of the present request, compressed as any answer", async () => {
  const served = await serveFetch('hono', () => new Response('my own answer', { headers: { 'x-own': '1' } }), {
    http: { once: outdone(replayed) },
    before: [
      compress({ threshold: 0 }),
      async (c, next) => {
        c.header('X-Present', 'stays')
        await next()
        c.header('X-Afterwards', 'too')
      },
    ],
  })
  try {
    const answer = await ask(served.url, { path: '/', key: 'k1' })
    const { 'x-own': own, 'x-present': present, 'x-afterwards': afterwards } = answer.headers
    assert.deepEqual([answer.text, own, present, afterwards], ["the owner's answer", undefined, 'stays', 'too'])
  } finally {
    await served.close()
  }
})
