import assert from 'node:assert/strict'
import { createReadStream, mkdtempSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Response } from 'express'
import { refusal } from 'onceward'
import { ask, begin, codeOf, isReplay, type Answered } from '../../src/testing/http/ask.ts'
import { allFrameworks, serve, type Framework, type Handler, type Served, type Serving } from './serving.ts'

/** Runs a scenario against a server and sees that no rejection goes unhandled. */
function scenario(
  sentence: string,
  only: readonly Framework[],
  make: (framework: Framework) => {
    handler: Handler
    serving?: Serving
    show: (served: Served, send: () => Promise<Answered>) => Promise<void>
  },
): void {
  for (const framework of only)
    test(`${framework}: ${sentence}`, async () => {
      const { handler, serving, show } = make(framework)
      const served = await serve(framework, handler, serving)
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

scenario('a handler that answers twice is told so, and the first answer stands', allFrameworks, () => {
  let code: unknown
  const handler: Handler = (_, response) => {
    response.end('first')
    try {
      response.writeHead(500).end('second')
    } catch (error) {
      code = (error as { code?: unknown }).code
    }
  }
  return {
    handler,
    show: async (_, send) => {
      assert.equal((await send()).text, 'first')
      assert.equal(code, 'ERR_HTTP_HEADERS_SENT')
      assert.equal((await send()).text, 'first')
    },
  }
})

// Nest listens for errors of the response with Fastify, which then are not reported.
const listening = allFrameworks.filter((framework) => framework !== 'nest-fastify')

scenario('a handler that writes after its end is told so, and its answer stands', listening, () => {
  const codes: unknown[] = []
  const told = (error?: Error | null): void => void codes.push((error as { code?: unknown } | undefined)?.code)
  const handler: Handler = (_, response) => {
    response.end('first')
    assert.equal(response.headersSent, true)
    assert.equal(response.writableEnded, true)
    assert.equal(response.write('more', told), false)
    response.end('more', told)
    response.end()
  }
  return {
    handler,
    show: async ({ errors }, send) => {
      assert.equal((await send()).text, 'first')
      assert.deepEqual(codes, ['ERR_STREAM_WRITE_AFTER_END', 'ERR_STREAM_WRITE_AFTER_END'])
      assert.equal(errors.length, 2)
      assert.equal((await send()).text, 'first')
    },
  }
})

scenario('a handler that listens for errors of its response hears of a write after the end', allFrameworks, () => {
  const heard: unknown[] = []
  const handler: Handler = (_, response) => {
    response.on('error', (error: Error & { code?: string }) => heard.push(error.code))
    response.end('first')
    response.write('more')
  }
  return {
    handler,
    show: async ({ errors }, send) => {
      assert.equal((await send()).text, 'first')
      assert.deepEqual(heard, ['ERR_STREAM_WRITE_AFTER_END'])
      assert.deepEqual(errors, [])
    },
  }
})

for (const thrown of [new Error('secret'), 'a string', undefined, null, 42])
  scenario(`a handler that throws ${String(thrown)} is interrupted, answered without it, and runs again`, ['node'], () => {
    let runs = 0
    const handler: Handler = async () => {
      runs += 1
      await sleep(1)
      throw thrown
    }
    return {
      handler,
      show: async ({ errors }, send) => {
        for (const answer of [await send(), await send()]) {
          assert.deepEqual([answer.status, codeOf(answer)], [500, 'idempotency_handler_failed'])
          assert.ok(!answer.text.includes('secret'))
        }
        assert.equal(runs, 2)
        assert.deepEqual(errors, [thrown, thrown])
      },
    }
  })

scenario('a handler that throws at once is interrupted, and runs again', allFrameworks, () => {
  let runs = 0
  const handler: Handler = () => {
    runs += 1
    throw new Error('at once')
  }
  return {
    handler,
    show: async (_, send) => {
      assert.deepEqual([(await send()).status, (await send()).status], [500, 500])
      assert.equal(runs, 2)
    },
  }
})

scenario('what a handler answers after it threw goes nowhere', ['node'], () => {
  let runs = 0
  const thrown = new Error('thrown')
  const handler: Handler = (_, response) => {
    runs += 1
    setTimeout(() => {
      response.write('too ')
      response.end('late')
    }, 20)
    throw thrown
  }
  return {
    handler,
    show: async ({ errors }, send) => {
      assert.equal(codeOf(await send()), 'idempotency_handler_failed')
      await sleep(60)
      assert.equal(codeOf(await send()), 'idempotency_handler_failed')
      await sleep(60)
      assert.equal(runs, 2)
      assert.deepEqual(errors, [thrown, thrown])
    },
  }
})

scenario('a refusal that is thrown is an answer of its own, remembered and replayed', ['node'], () => {
  const handler: Handler = () => {
    throw refusal(422, 'card declined', { decline: 'no_funds' })
  }
  return {
    handler,
    show: async (_, send) => {
      const [first, second] = [await send(), await send()]
      assert.deepEqual([first.status, codeOf(first)], [422, 'refused'])
      assert.match(first.text, /"detail":"card declined".*"details":\{"decline":"no_funds"\}/)
      assert.deepEqual([second.text, isReplay(second)], [first.text, true])
    },
  }
})

scenario('a refusal that is thrown keeps its status and is replayed', ['express'], () => ({
  handler: async () => {
    await sleep(1)
    throw refusal(422, 'card declined')
  },
  show: async (_, send) => {
    assert.equal((await send()).status, 422)
    assert.ok(isReplay(await send()))
  },
}))

scenario('what a handler throws after it has answered is reported, and the answer stands', ['node'], () => {
  const late = new Error('late')
  const handler: Handler = async (_, response) => {
    response.end('answered')
    await sleep(5)
    throw late
  }
  return {
    handler,
    show: async ({ errors }, send) => {
      assert.equal((await send()).text, 'answered')
      assert.ok(isReplay(await send()))
      await sleep(10)
      assert.deepEqual(errors, [late])
    },
  }
})

scenario('what a handler throws after it has answered does not lose the answer', ['express', 'express4'], () => {
  let runs = 0
  const handler: Handler = (_, response) => {
    runs += 1
    response.end('answered')
    throw new Error('late')
  }
  return {
    handler,
    show: async (_, send) => {
      // Express destroys the connection of an answer that has begun: its client asks again.
      await send().catch(() => {})
      assert.deepEqual([(await send()).text, runs], ['answered', 1])
    },
  }
})

scenario(
  'a handler that throws in the middle of its answer is interrupted, and the answer is cut off',
  allFrameworks,
  (framework) => {
    let runs = 0
    const handler: Handler = async (_, response) => {
      runs += 1
      if (runs > 1) return response.end('whole')
      response.write('half')
      await sleep(30)
      throw new Error('in the middle')
    }
    return {
      handler: (request, response) =>
        // Express 4 does not look at promises: there the handler passes its error on by ending the connection, as Express would.
        Promise.resolve(handler(request, response)).catch((error: unknown) => {
          if (framework !== 'express4') throw error
          request.socket.destroy()
        }),
      show: async (_, send) => {
        await cutOff(send())
        assert.equal((await send()).text, 'whole')
        assert.equal(runs, 2)
      },
    }
  },
)

scenario('a handler that destroys its response is interrupted', allFrameworks, () => {
  let runs = 0
  const handler: Handler = (_, response) => {
    runs += 1
    if (runs === 1) response.destroy(new Error('gave up'))
    else response.end('whole')
  }
  return {
    handler,
    show: async (_, send) => {
      await cutOff(send())
      assert.deepEqual([(await send()).text, runs], ['whole', 2])
    },
  }
})

scenario('a source that fails in the middle of a pipeline interrupts the attempt', ['node', 'express'], () => {
  let runs = 0
  async function* failing(): AsyncGenerator<string> {
    yield 'half'
    await sleep(20)
    throw new Error('source failed')
  }
  const handler: Handler = async (_, response) => {
    runs += 1
    if (runs > 1) response.end('whole')
    else await pipeline(Readable.from(failing()), response).catch(() => {})
  }
  return {
    handler,
    show: async (_, send) => {
      await cutOff(send())
      assert.deepEqual([(await send()).text, runs], ['whole', 2])
    },
  }
})

scenario('a handler that never answers is given up in time, and its late answer is remembered', allFrameworks, () => {
  let finish = (): void => {}
  let runs = 0
  const handler: Handler = (_, response) => {
    runs += 1
    finish = () => response.writeHead(201, { 'x-late': '1' }).end('late')
  }
  return {
    handler,
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
})

scenario('a handler that stalls in the middle of its answer is cut off in time', allFrameworks, () => ({
  handler: (_, response) => void response.write('half'),
  serving: { engine: { attemptTimeout: 200 } },
  show: async (_, send) => cutOff(send()),
}))

scenario("an application's stores that throws interrupts the attempt", ['node'], () => ({
  handler: (_, response) => response.end('fine'),
  serving: {
    http: {
      stores: () => {
        throw new Error('stores')
      },
    },
  },
  show: async ({ errors }, send) => {
    assert.equal(codeOf(await send()), 'idempotency_handler_failed')
    assert.equal(errors.length, 1)
  },
}))

scenario('a scope that throws runs nothing', allFrameworks, () => ({
  handler: () => assert.fail('the handler must not run'),
  serving: {
    http: {
      scope: () => {
        throw new Error('nobody')
      },
    },
  },
  show: async (_, send) => assert.equal((await send()).status, 500),
}))

for (const scope of ['', undefined, null, 7, {}])
  scenario(`a scope of ${JSON.stringify(scope) ?? 'undefined'} runs nothing and names the remedy`, ['node', 'express'], () => ({
    handler: () => assert.fail('the handler must not run'),
    serving: { http: { scope: () => scope as string } },
    show: async (_, send) => {
      const answer = await send()
      assert.deepEqual([answer.status, codeOf(answer)], [500, 'idempotency_misconfigured'])
      assert.match(answer.text, /return the caller's account as a string/)
    },
  }))

scenario('a scope may be found out asynchronously', allFrameworks, () => ({
  handler: (_, response) => response.end('fine'),
  serving: { http: { scope: async (request) => sleep(2, String(request.headers['idempotency-key'])) } },
  show: async (_, send) => {
    await send()
    assert.ok(isReplay(await send()))
  },
}))

const file = join(mkdtempSync(join(tmpdir(), 'onceward-')), 'large.txt')
writeFileSync(file, 'z'.repeat(900_000))

/** More than sockets take in before anybody reads. */
const large = join(mkdtempSync(join(tmpdir(), 'onceward-')), 'huge.txt')
writeFileSync(large, Buffer.alloc(30_000_000))

/** Handlers whose client goes away before, or while, they answer. */
const forsaken: Readonly<Record<string, Handler>> = {
  'pipes a file': (_, response) => void createReadStream(file).pipe(response),
  'pipelines a file': (_, response) => pipeline(createReadStream(file), response),
  'waits, then pipelines a file': async (_, response) => {
    await sleep(100)
    await pipeline(createReadStream(file), response)
  },
  'waits for drain': async (_, response) => {
    for (let index = 0; index < 9; index += 1) {
      if (!response.write('z'.repeat(100_000))) await new Promise((resolve) => response.once('drain', resolve))
      await sleep(10)
    }
    response.end()
  },
  'waits for callbacks': async (_, response) => {
    for (let index = 0; index < 9; index += 1) {
      await new Promise((resolve) => response.write('z'.repeat(100_000), resolve))
      await sleep(10)
    }
    await new Promise<void>((resolve) => response.end(resolve))
  },
}

for (const [way, handler] of Object.entries(forsaken))
  // Express 4 leaves the rejection of an asynchronous handler, which a broken pipeline is in the end, unhandled.
  scenario(
    `a handler that ${way} comes to its end when its client is gone, and is remembered`,
    way.includes('pipeline') ? ['node', 'express'] : allFrameworks,
    () => {
      let runs = 0
      let isClosed = false
      return {
        handler: (request, response) => {
          runs += 1
          response.on('close', () => (isClosed = true))
          return handler(request, response)
        },
        show: async ({ url, errors }, send) => {
          const gone = begin(url, { path: '/', key: 'k1' })
          const response = way.startsWith('waits, ') ? undefined : await gone
          if (response === undefined) {
            const lost = fetch(url, { method: 'POST', headers: { 'idempotency-key': 'k2' }, signal: AbortSignal.timeout(30) })
            await assert.rejects(lost)
            void gone.then((late) => late.destroy())
          }
          response?.destroy()
          const answer = await ask(url, { path: '/', key: response === undefined ? 'k2' : 'k1' })
          assert.ok(isReplay(answer))
          assert.equal(answer.body.length, 900_000)
          assert.equal(runs, response === undefined ? 2 : 1)
          assert.ok(isClosed)
          assert.deepEqual(errors, [])
          assert.ok((await send()).status === 200)
        },
      }
    },
  )

scenario('a file whose client goes away while it is sent counts as an answer that was not kept', ['express', 'express4'], () => {
  let runs = 0
  const handler: Handler = (_, response) => {
    runs += 1
    ;(response as Response).sendFile(large)
  }
  return {
    handler,
    show: async ({ url }, send) => {
      const response = await begin(url, { path: '/', key: 'k1' })
      response.destroy()
      assert.equal(codeOf(await send()), 'idempotency_outcome_not_kept')
      assert.equal(runs, 1)
    },
  }
})
