import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { refusal } from 'onceward'
import { ask, begin, codeOf, isReplay, type Answered } from '../../src/testing/http/ask.ts'
import { fetchFrameworks, serveFetch, type FetchFramework, type Handler, type Served, type Serving } from './fetch-serving.ts'

interface Scenario {
  readonly handler: Handler
  readonly serving?: Serving
  show(served: Served, send: () => Promise<Answered>): Promise<void>
}

/** Runs a scenario against a server and sees that no rejection goes unhandled. */
function scenario(sentence: string, make: () => Scenario, only: readonly FetchFramework[] = fetchFrameworks): void {
  for (const door of only)
    test(`${door}: ${sentence}`, async () => {
      const { handler, serving, show } = make()
      const served = await serveFetch(door, handler, serving)
      try {
        await show(served, () => ask(served.url, { path: '/', key: 'k1' }))
      } finally {
        await served.close()
      }
    })
}

async function cutOff(answer: Promise<unknown>): Promise<void> {
  await assert.rejects(answer, /aborted|ECONNRESET|socket hang up/)
}

const encoder = new TextEncoder()

/** A stream that gives these chunks, some time apart, and then fails. */
function failing(...chunks: readonly (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  async function* generate(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) {
      yield typeof chunk === 'string' ? encoder.encode(chunk) : chunk
      await sleep(20)
    }
    throw new Error('source failed')
  }
  return ReadableStream.from(generate())
}

/** A handler whose first run answers otherwise than the next. */
function firstOf(first: Handler): { handler: Handler; runs: () => number } {
  let runs = 0
  const handler: Handler = (request) => {
    runs += 1
    return runs === 1 ? first(request) : new Response('whole')
  }
  return { handler, runs: () => runs }
}

for (const [what, value, message] of [
  ['nothing', undefined, /returned (a value of type undefined|nothing): return a Response/],
  ['null', null, /returned (null|nothing): return a Response/],
  ['text', 'text', /returned a value of type string: return a Response/],
  ['an object', { status: 200 }, /returned a value of type object: return a Response/],
  ['Response.error()', Response.error(), /returned Response.error\(\), which cannot be sent/],
] as const)
  scenario(`a handler that returns ${what} is told so, and runs again`, () => {
    const { handler, runs } = firstOf(() => value as Response)
    return {
      handler,
      show: async ({ thrown }, send) => {
        assert.equal((await send()).status, 500)
        assert.match(String(thrown[0]), message)
        assert.deepEqual([(await send()).text, runs()], ['whole', 2])
      },
    }
  })

scenario('a handler that returns a Response whose body has been read is told so, and runs again', () => {
  const { handler, runs } = firstOf(async () => {
    const response = new Response('read')
    await response.text()
    return response
  })
  return {
    handler,
    show: async ({ thrown }, send) => {
      assert.equal((await send()).status, 500)
      assert.match(String(thrown[0]), /body has been read|unusable|disturbed/)
      assert.deepEqual([(await send()).text, runs()], ['whole', 2])
    },
  }
})

for (const thrown of [new Error('secret'), 'a string', undefined, null, 42])
  scenario(`what a handler throws, ${String(thrown)}, reaches its server, and the next request runs again`, () => {
    let runs = 0
    return {
      handler: async () => {
        runs += 1
        await sleep(1)
        throw thrown
      },
      show: async (served, send) => {
        assert.deepEqual([(await send()).text, (await send()).text], ['thrown', 'thrown'])
        assert.deepEqual([served.thrown, served.errors, runs], [[thrown, thrown], [], 2])
      },
    }
  })

scenario('a handler that throws before it returns a promise is interrupted, and runs again', () => {
  const { handler, runs } = firstOf(() => {
    throw new Error('at once')
  })
  return {
    handler,
    show: async (_, send) => assert.deepEqual([(await send()).status, (await send()).text, runs()], [500, 'whole', 2]),
  }
})

scenario(
  'a refusal that a handler throws is an answer of its own, remembered and replayed',
  () => ({
    handler: () => {
      throw refusal(422, 'card declined', { decline: 'no_funds' })
    },
    show: async ({ errors }, send) => {
      const [first, second] = [await send(), await send()]
      assert.deepEqual([first.status, codeOf(first), first.headers['idempotency-key']], [422, 'refused', 'k1'])
      assert.match(first.text, /"detail":"card declined".*"details":\{"decline":"no_funds"\}/)
      assert.deepEqual([second.text, isReplay(second)], [first.text, true])
      assert.deepEqual(errors, [])
    },
  }),
  ['fetch'],
)

scenario(
  'a refusal without a key is an answer all the same',
  () => ({
    handler: () => {
      throw refusal(422, 'card declined')
    },
    serving: { http: { required: false } },
    show: async ({ url }) => assert.equal((await ask(url, { path: '/' })).status, 422),
  }),
  ['fetch'],
)

scenario('a stream that fails before anything of it went out is interrupted, and runs again', () => {
  const { handler, runs } = firstOf(
    () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            controller.error(new Error('source failed'))
          },
        }),
      ),
  )
  return {
    handler,
    show: async ({ thrown }, send) => {
      assert.equal((await send()).text, 'thrown')
      assert.match(String(thrown[0]), /source failed/)
      assert.deepEqual([(await send()).text, runs()], ['whole', 2])
    },
  }
})

scenario('a stream that fails in the middle interrupts the attempt, and the answer is cut off', () => {
  const { handler, runs } = firstOf(() => new Response(failing('half')))
  return {
    handler,
    show: async (_, send) => {
      await cutOff(send())
      assert.deepEqual([(await send()).text, runs()], ['whole', 2])
    },
  }
})

scenario('a stream that fails after all of its declared length came interrupts the attempt, and its end is not sent', () => {
  const { handler, runs } = firstOf(() => new Response(failing('ab', 'cd'), { headers: { 'content-length': '4' } }))
  return {
    handler,
    show: async (_, send) => {
      await cutOff(send())
      assert.deepEqual([(await send()).text, runs()], ['whole', 2])
    },
  }
})

scenario('a stream of something else than bytes interrupts the attempt, and says so', () => {
  const { handler, runs } = firstOf(() => new Response(ReadableStream.from(['text']) as unknown as ReadableStream<Uint8Array>))
  return {
    handler,
    show: async ({ thrown }, send) => {
      assert.equal((await send()).text, 'thrown')
      assert.match(String(thrown[0]), /a chunk of type string|Uint8Array/)
      assert.deepEqual([(await send()).text, runs()], ['whole', 2])
    },
  }
})

scenario('a stream that fails when its client has gone is reported, and the attempt interrupted', () => {
  const { handler, runs } = firstOf(() => new Response(failing(...Array.from({ length: 10 }, () => 'half'))))
  return {
    handler,
    show: async ({ url, errors }, send) => {
      const response = await begin(url, { path: '/', key: 'k1' })
      await new Promise((resolve) => response.once('data', resolve))
      response.destroy()
      assert.deepEqual([(await send()).text, runs()], ['whole', 2])
      assert.deepEqual(errors.map(String), ['Error: source failed'])
    },
  }
})

scenario(
  'a handler that returns nothing in time is given up, and its late answer is remembered',
  () => {
    let finish = (): void => {}
    let runs = 0
    return {
      handler: () => {
        runs += 1
        return new Promise((resolve) => {
          finish = () => resolve(new Response('late', { status: 201, headers: { 'x-late': '1' } }))
        })
      },
      serving: { engine: { attemptTimeout: 200, lease: 2_000 } },
      show: async (_, send) => {
        const first = await send()
        assert.deepEqual([first.status, codeOf(first)], [504, 'idempotency_attempt_timeout'])
        finish()
        const second = await send()
        assert.deepEqual([second.status, second.text, second.headers['x-late'], isReplay(second)], [201, 'late', '1', true])
        assert.equal(runs, 1)
      },
    }
  },
  ['fetch'],
)

// Hono itself drops the answer of a handler whose request has been answered.
scenario(
  'a late answer of a handler that was given up is reported as lost, and the next request runs again',
  () => {
    let finish = (): void => {}
    let runs = 0
    return {
      handler: () => {
        runs += 1
        if (runs > 1) return new Response('again')
        return new Promise((resolve) => {
          finish = () => resolve(new Response('late'))
        })
      },
      serving: { engine: { attemptTimeout: 200, lease: 2_000 } },
      show: async ({ errors }, send) => {
        assert.equal(codeOf(await send()), 'idempotency_attempt_timeout')
        finish()
        assert.equal((await send()).text, 'again')
        assert.match(String(errors[0]), /raise attemptTimeout/)
      },
    }
  },
  ['hono'],
)

scenario('what a handler throws after it was given up is reported', () => {
  let fail = (): void => {}
  const late = new Error('late')
  return {
    handler: () => new Promise((_resolve, reject) => (fail = () => reject(late))),
    serving: { engine: { attemptTimeout: 100, lease: 2_000 } },
    show: async ({ errors, thrown }, send) => {
      assert.equal(codeOf(await send()), 'idempotency_attempt_timeout')
      fail()
      while (errors.length === 0) await sleep(1)
      assert.deepEqual([errors, thrown], [[late], []])
    },
  }
})

scenario('a stream that stalls is cut off in time', () => ({
  handler: () =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue(encoder.encode('half'))
        },
      }),
    ),
  serving: { engine: { attemptTimeout: 200 } },
  show: async (_, send) => cutOff(send()),
}))

scenario("an application's stores that throws interrupts the attempt, and its error reaches the server", () => {
  const error = new Error('stores')
  return {
    handler: () => new Response('fine'),
    serving: {
      http: {
        stores: () => {
          throw error
        },
      },
    },
    show: async ({ thrown }, send) => {
      assert.equal((await send()).text, 'thrown')
      assert.deepEqual(thrown, [error])
    },
  }
})

scenario('what scope throws reaches the server, and nothing runs', () => {
  const error = new Error('nobody')
  return {
    handler: () => assert.fail('the handler must not run'),
    serving: {
      http: {
        scope: () => {
          throw error
        },
      },
    },
    show: async ({ thrown }, send) => {
      assert.equal((await send()).text, 'thrown')
      assert.deepEqual(thrown, [error])
    },
  }
})

scenario('a scope that is no text runs nothing and names the remedy', () => ({
  handler: () => assert.fail('the handler must not run'),
  serving: { http: { scope: () => '' } },
  show: async (_, send) => {
    const answer = await send()
    assert.deepEqual([answer.status, codeOf(answer)], [500, 'idempotency_misconfigured'])
    assert.match(answer.text, /return the caller's account as a string/)
  },
}))

scenario('a client that reads slowly slows a large stream down, and memory does not fill', () => {
  let produced = 0
  const source = (): ReadableStream<Uint8Array> =>
    new ReadableStream({
      pull(controller) {
        produced += 65_536
        if (produced > 64_000_000) controller.close()
        else controller.enqueue(new Uint8Array(65_536))
      },
    })
  return {
    handler: () => new Response(source()),
    show: async ({ url }, send) => {
      const response = await begin(url, { path: '/', key: 'k1' })
      response.pause()
      await sleep(300)
      assert.ok(produced < 32_000_000, `${produced} bytes were produced for a client that does not read`)
      let received = 0
      for await (const chunk of response) received += (chunk as Buffer).length
      assert.ok(received > 63_000_000)
      assert.equal(codeOf(await send()), 'idempotency_outcome_not_kept')
    },
  }
})

scenario('a large stream whose client goes away is read to its end', () => {
  let isAtEnd = false
  async function* large(): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < 100; index += 1) {
      yield new Uint8Array(65_536)
      await sleep(1)
    }
    isAtEnd = true
  }
  return {
    handler: () => new Response(ReadableStream.from(large())),
    show: async ({ url }, send) => {
      const response = await begin(url, { path: '/', key: 'k1' })
      await new Promise((resolve) => response.once('data', resolve))
      response.destroy()
      assert.equal(codeOf(await send()), 'idempotency_outcome_not_kept')
      assert.ok(isAtEnd)
    },
  }
})

scenario('a duplicate whose client goes away while it waits gives up its place in the queue', () => ({
  handler: async () => {
    await sleep(500)
    return new Response('done')
  },
  serving: { engine: { waitersMax: 1 } },
  show: async ({ url }, send) => {
    const running = send()
    await sleep(50)
    const gone = new AbortController()
    const lost = fetch(`${url}/`, { method: 'POST', headers: { 'idempotency-key': 'k1' }, signal: gone.signal })
    await sleep(50)
    assert.equal(codeOf(await send()), 'idempotency_in_progress')
    gone.abort()
    await assert.rejects(lost)
    await sleep(50)
    assert.ok(isReplay(await send()))
    assert.equal((await running).text, 'done')
  },
}))
