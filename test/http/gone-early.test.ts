import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memory } from 'onceward/memory'
import { ask } from '../../src/testing/http/ask.ts'
import { expressOf, frameworks, serve, type Handler } from './serving.ts'
import type { IncomingMessage } from 'node:http'
import type { Once, OncewardEvent, Store } from 'onceward'

/** A store whose first claim is granted in the same moment in which the client's connection is lost. */
function losing(lose: () => void): Store {
  const inner = memory()
  let isFirst = true
  return Object.assign(Object.create(inner) as Store, {
    synchronous: false,
    claim: async (claims: never) => {
      const found = await inner.claim(claims)
      if (isFirst) lose()
      isFirst = false
      return found
    },
    settle: (settlements: never) => inner.settle(settlements),
    open: () => inner.open(),
    find: (ids: never) => inner.find(ids),
    sweep: (limit: number) => inner.sweep(limit),
    close: () => inner.close(),
    watch: undefined,
  })
}

async function textOf(request: IncomingMessage): Promise<string> {
  if ('body' in request) return String(request.body)
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}

for (const framework of frameworks)
  test(`${framework}: a client that is lost before its handler starts leaves nothing, and the attempt does not count`, async () => {
    const connections: IncomingMessage['socket'][] = []
    const events: OncewardEvent['type'][] = []
    const handled: string[] = []
    const handler: Handler = async (request, response) => {
      handled.push(await textOf(request))
      response.end('done')
    }
    const express = expressOf(framework)
    const served = await serve(framework, handler, {
      engine: {
        store: losing(() => connections[0]?.destroy()),
        attemptsMax: 1,
        interrupted: 'hold',
        onEvent: ({ type }) => void events.push(type),
      },
      before: [(request, _response, next) => next(void connections.push(request.socket))],
      behind: [express.text({ type: () => true })],
    })
    try {
      const once: Once = served.once
      const question = { path: '/', key: 'k1', body: 'the whole body', headers: { 'content-type': 'text/plain' } }
      await assert.rejects(ask(served.url, question))
      while (!events.some((type) => ['released', 'completed', 'interrupted'].includes(type)))
        await new Promise((resolve) => setTimeout(resolve, 5))
      const peeked = await once.peek({ scope: 'everyone', name: 'POST /', key: 'k1' })
      assert.deepEqual([handled, peeked.state], [[], 'absent'])
      assert.equal((await ask(served.url, question)).text, 'done')
      assert.deepEqual(handled, ['the whole body'])
    } finally {
      await served.close()
    }
  })
