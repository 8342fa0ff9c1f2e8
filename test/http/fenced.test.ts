import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { ask, begin, codeOf, isReplay } from '../../src/testing/http/ask.ts'
import { compression } from './compression.ts'
import { encodeAnswer } from '../../src/http/answer.ts'
import { allFrameworks, serve, type Handler } from './serving.ts'
import type { Ending, ExecuteResult, Once } from 'onceward'

const owners = encodeAnswer({ status: 202, headers: [['X-Owner', 'yes']], body: Buffer.from("the owner's answer") })

/** An engine that lets the handler run and then says what became of it: here, that another attempt has taken over. */
function outdone(result: ExecuteResult, endings: Ending[] = []): Pick<Once, 'execute' | 'sha256' | 'waitMs'> {
  return {
    sha256: (data) => createHash('sha256').update(data).digest('hex'),
    waitMs: 0,
    execute: async (_request, work) => {
      endings.push(await work({ number: 1, signal: new AbortController().signal, step: () => assert.fail('no step is taken') }))
      await sleep(20)
      return result
    },
  }
}

const replayed: ExecuteResult = { state: 'completed', outcome: owners, replayed: true, settled: true }

const heldWays: Readonly<Record<string, Handler>> = {
  end: (_, response) => response.setHeader('x-own', '1').end('my own answer'),
  'status 204': (_, response) => response.writeHead(204).end(),
  'writeHead and end': (_, response) => response.writeHead(201, 'Mine', { 'x-own': '1', 'content-length': 3 }).end('own'),
  'writes in one turn': (_, response) => {
    response.write('my own ')
    response.end('answer')
  },
}

for (const framework of allFrameworks) {
  for (const [way, handler] of Object.entries(heldWays))
    test(`${framework}: an attempt that was taken over answers with its owner's outcome in place of its own by ${way}`, async () => {
      const before = [
        (_: unknown, response: { setHeader(name: string, value: string): void }, next: () => void) => {
          response.setHeader('X-Present', 'stays')
          next()
        },
      ]
      const served = await serve(framework, handler, { http: { once: outdone(replayed) }, before })
      try {
        const answer = await ask(served.url, { path: '/', key: 'k1' })
        assert.deepEqual([answer.status, answer.text, isReplay(answer)], [202, "the owner's answer", true])
        const {
          'x-own': own,
          'x-owner': owner,
          'x-present': present,
          'idempotency-key': key,
          'content-length': length,
        } = answer.headers
        assert.deepEqual([own, owner, present, key, length], [undefined, 'yes', 'stays', 'k1', '18'])
      } finally {
        await served.close()
      }
    })

  test(`${framework}: an attempt that was taken over while its answer flowed is cut off before the end`, async () => {
    const handlers: readonly Handler[] = [
      async (_, response) => {
        response.write('begun')
        await sleep(20)
        response.end('ended')
      },
      (_, response) => {
        response.setHeader('content-length', 200_000)
        response.write(Buffer.alloc(100_000))
        response.write(Buffer.alloc(100_000))
        response.end()
      },
    ]
    for (const handler of handlers) {
      const served = await serve(framework, handler, { http: { once: outdone(replayed) } })
      const response = await begin(served.url, { path: '/', key: 'k1' })
      let bytes = 0
      response.on('data', (chunk: Buffer) => (bytes += chunk.length))
      await assert.rejects(async () => {
        for await (const chunk of response) assert.ok(chunk)
      })
      assert.equal(response.complete, false)
      assert.ok(bytes < 200_000)
      await served.close()
    }
  })

  test(`${framework}: an attempt that was taken over and whose owner is still running is told to ask again`, async () => {
    const busy: ExecuteResult = { state: 'busy', retryAfterMs: 1_200, attempted: true }
    const served = await serve(framework, (_, response) => response.end('own'), { http: { once: outdone(busy) } })
    try {
      const answer = await ask(served.url, { path: '/', key: 'k1' })
      assert.deepEqual([codeOf(answer), answer.headers['retry-after']], ['idempotency_in_progress', '2'])
    } finally {
      await served.close()
    }
  })

  test(`${framework}: an answer whose headers another layer has rendered is cut off rather than mixed with the owner's`, async () => {
    const handler: Handler = (_, response) => response.setHeader('content-type', 'text/plain').end('my own answer')
    const served = await serve(framework, handler, { http: { once: outdone(replayed) }, before: [compression] })
    try {
      await assert.rejects(ask(served.url, { path: '/', key: 'k1', headers: { 'accept-encoding': 'gzip' } }))
    } finally {
      await served.close()
    }
  })
}
