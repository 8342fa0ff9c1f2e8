import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { onceward, StoreUnavailableError, type Attempt, type Once } from 'onceward'
import { memory } from 'onceward/memory'
import { attemptOf, byAuthorization, everyone, idempotent, storedAnswer } from 'onceward/fetch'

/** A request under a key, without any server. */
function post(
  key: string,
  { headers, ...init }: Omit<RequestInit, 'headers'> & { readonly headers?: Record<string, string> } = {},
): Request {
  return new Request('http://shop.test/charges?a=1', {
    method: 'POST',
    ...init,
    headers: { 'idempotency-key': key, ...headers },
  })
}

async function codeIn(response: Response): Promise<unknown> {
  return ((await response.json()) as { code?: unknown }).code
}

async function withOnce(show: (once: Once) => Promise<void>): Promise<void> {
  const once = onceward({ store: memory() })
  try {
    await show(once)
  } finally {
    await once.close()
  }
}

test('fetch: a handler gets the very request that came, and what its server gives beside it', () =>
  withOnce(async (once) => {
    let attempt: Attempt | undefined
    const asked: unknown[] = []
    const handler = idempotent(
      { once, scope: everyone },
      async (request: Request, environment: { readonly region: string }, context: { readonly id: number }) => {
        attempt = attemptOf(request)
        asked.push(request)
        return new Response(`${await request.text()} ${environment.region} ${context.id}`)
      },
    )
    const request = post('k1', { body: 'body' })
    const response = await handler(request, { region: 'eu' }, { id: 7 })
    assert.equal(await response.text(), 'body eu 7')
    assert.deepEqual([asked[0] === request, attempt?.number, attempt?.signal.aborted], [true, 1, false])
    assert.equal(attemptOf(post('k2')), undefined)
  }))

test('fetch: a request without protection passes as it is, and so do its answer and its error', () =>
  withOnce(async (once) => {
    const own = new Response('own')
    const error = new Error('own')
    const handler = idempotent({ once, scope: everyone, required: false }, (request: Request) => {
      if (request.headers.has('x-throw')) throw error
      return own
    })
    for (const method of ['GET', 'HEAD', 'PUT']) assert.equal(await handler(post('k1', { method })), own)
    assert.equal(await handler(new Request('http://shop.test/', { method: 'POST' })), own)
    await assert.rejects(handler(post('k1', { method: 'GET', headers: { 'x-throw': '1' } })), error)
  }))

test('fetch: the headers of an answer may be changed by the layers around it, whoever gave it', () =>
  withOnce(async (once) => {
    const handler = idempotent({ once, scope: everyone }, () => Response.redirect('http://shop.test/made', 303))
    const missing = new Request('http://shop.test/', { method: 'POST' })
    for (const request of [post('k1'), post('k1'), missing]) {
      const response = await handler(request)
      response.headers.set('x-after', '1')
      assert.equal(response.headers.get('x-after'), '1')
    }
  }))

test('fetch: a request whose body has been read is a mistake of the set-up, and says so', () =>
  withOnce(async (once) => {
    const handler = idempotent({ once, scope: everyone }, () => assert.fail('the handler must not run'))
    const read = post('k1', { body: 'body' })
    await read.text()
    const locked = post('k1', { body: 'body' })
    locked.body?.getReader()
    for (const request of [read, locked]) {
      const response = await handler(request)
      assert.equal(response.status, 500)
      assert.match(await response.text(), /idempotency_misconfigured.*|put idempotent\(\) before it/)
    }
  }))

test('fetch: a request whose body has been read is served where the fingerprint does without it', () =>
  withOnce(async (once) => {
    const handler = idempotent({ once, scope: everyone, fingerprint: ['query'] }, () => new Response('done'))
    const read = post('k1', { body: 'body' })
    await read.text()
    assert.equal(await (await handler(read)).text(), 'done')
  }))

test('fetch: an upload that breaks off when its client goes away leaves no record', () =>
  withOnce(async (once) => {
    let runs = 0
    const handler = idempotent({ once, scope: everyone }, () => new Response(String((runs += 1))))
    const gone = new AbortController()
    const body = new ReadableStream({
      async pull(controller) {
        controller.enqueue(new TextEncoder().encode('half'))
        await sleep(5)
        gone.abort()
        controller.error(new Error('gone'))
      },
    })
    const broken = post('k1', { body, duplex: 'half', signal: gone.signal })
    assert.equal((await handler(broken)).status, 499)
    assert.equal(await (await handler(post('k1', { body: 'whole' }))).text(), '1')
  }))

test('fetch: an error of the body that is not the client going away reaches the server', () =>
  withOnce(async (once) => {
    const handler = idempotent({ once, scope: everyone }, () => assert.fail('the handler must not run'))
    const error = new Error('too long')
    const body = new ReadableStream({ pull: (controller) => controller.error(error) })
    await assert.rejects(handler(post('k1', { body, duplex: 'half' })), error)
  }))

test('fetch: two layers around one handler are a mistake of the set-up, and say so', () =>
  withOnce(async (once) => {
    const options = { once, scope: everyone }
    const handler = idempotent(
      options,
      idempotent(options, () => new Response('never')),
    )
    const response = await handler(post('k1'))
    assert.deepEqual([response.status, await codeIn(response)], [500, 'idempotency_misconfigured'])
  }))

test('fetch: the same request object may be handled again', () =>
  withOnce(async (once) => {
    const handler = idempotent({ once, scope: everyone }, () => new Response('done'))
    const request = post('k1')
    assert.equal(await (await handler(request)).text(), 'done')
    assert.equal((await handler(request)).headers.get('idempotent-replayed'), 'true')
  }))

test('fetch: byAuthorization keeps the credentials of requests apart', () =>
  withOnce(async (once) => {
    let runs = 0
    const scope = byAuthorization({ secret: 'a secret of the servers' })
    const handler = idempotent({ once, scope }, () => new Response(String((runs += 1))))
    const ask = async (authorization?: string): Promise<string> =>
      (await handler(post('k1', authorization === undefined ? {} : { headers: { authorization } }))).text()
    assert.deepEqual([await ask('one'), await ask('two'), await ask(), await ask('one')], ['1', '2', '3', '1'])
  }))

test('fetch: an answer that nobody reads is settled all the same', () =>
  withOnce(async (once) => {
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < 5; index += 1) {
        await sleep(2)
        yield new Uint8Array(1_000)
      }
    }
    const handler = idempotent({ once, scope: everyone }, () => new Response(ReadableStream.from(chunks())))
    await handler(post('k1'))
    const second = await handler(post('k1'))
    assert.deepEqual([second.headers.get('idempotent-replayed'), (await second.bytes()).length], ['true', 5_000])
  }))

test('fetch: a stream that the reader of its answer cancels is remembered whole', () =>
  withOnce(async (once) => {
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < 5; index += 1) {
        yield new TextEncoder().encode(`${index}`)
        await sleep(5)
      }
    }
    const handler = idempotent({ once, scope: everyone }, () => new Response(ReadableStream.from(chunks())))
    await (await handler(post('k1'))).body?.cancel()
    assert.equal(await (await handler(post('k1'))).text(), '01234')
  }))

test('fetch: while the store does not answer a request is refused, or runs without protection where the option says so', () =>
  withOnce(async (once) => {
    let runs = 0
    const down: Pick<Once, 'execute' | 'sha256' | 'waitMs'> = {
      sha256: once.sha256,
      waitMs: once.waitMs,
      execute: () => Promise.reject(new StoreUnavailableError(new Error('connect ECONNREFUSED db.internal:5432'))),
    }
    const work = (): Response => new Response(String((runs += 1)))
    const refused = await idempotent({ once: down, scope: everyone }, work)(post('k1'))
    assert.deepEqual([refused.status, refused.headers.get('retry-after'), runs], [503, '1', 0])
    const text = await refused.text()
    assert.match(text, /idempotency_store_unavailable/)
    assert.ok(!text.includes('db.internal'))
    const run = idempotent({ once: down, scope: everyone, storeDown: 'run' }, work)
    assert.deepEqual([await (await run(post('k1'))).text(), await (await run(post('k1'))).text()], ['1', '2'])
  }))

test('fetch: an outcome that no HTTP door stored is told from an answer', () =>
  withOnce(async (once) => {
    const handler = idempotent({ once, scope: everyone, interrupted: 'hold', fingerprint: [] }, () => {
      throw new Error('thrown')
    })
    await assert.rejects(handler(post('k1')), /thrown/)
    const operation = { scope: 'everyone', name: 'POST /charges', key: 'k1' }
    assert.ok(await once.resolve(operation, { outcome: 'plain' }, { actor: 'test', reason: 'by hand' }))
    assert.equal(await codeIn(await handler(post('k1'))), 'idempotency_misconfigured')
  }))

test('fetch: what an operator resolved a held operation with is its answer', () =>
  withOnce(async (once) => {
    const handler = idempotent({ once, scope: everyone, interrupted: 'hold' }, () => {
      throw new Error('thrown')
    })
    const operation = { scope: 'everyone', name: 'POST /charges', key: 'k1' }
    for (const [key, status, body] of [
      ['k1', 201, 'done by hand'],
      ['k2', 204, ''],
      ['k3', 205, ''],
    ] as const) {
      await assert.rejects(handler(post(key)), /thrown/)
      const outcome = storedAnswer({ status, body, headers: { 'X-By': ['hand', 'head'] } })
      await once.resolve({ ...operation, key }, { outcome }, { actor: 'test', reason: 'by hand' })
      const answer = await handler(post(key))
      assert.deepEqual([answer.status, await answer.text(), answer.headers.get('x-by')], [status, body, 'hand, head'])
    }
  }))

test('fetch: whoever takes the chunks of a streamed answer for itself takes nothing from what is remembered', () =>
  withOnce(async (once) => {
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < 5; index += 1) {
        yield new TextEncoder().encode(`${index}`)
        await sleep(5)
      }
    }
    const handler = idempotent({ once, scope: everyone }, () => new Response(ReadableStream.from(chunks())))
    const first = await handler(post('k1'))
    assert.ok(first.body)
    for await (const { buffer } of first.body as ReadableStream<Uint8Array<ArrayBuffer>>)
      assert.equal(structuredClone(buffer, { transfer: [buffer] }).byteLength, 1)
    assert.equal(await (await handler(post('k1'))).text(), '01234')
  }))
