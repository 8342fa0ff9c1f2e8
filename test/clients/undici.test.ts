import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, RetryAgent, fetch, interceptors, request, type Dispatcher, type RetryHandler } from 'undici'
import { clientBehaviours, type Received, type Sending } from './client-behaviours.ts'
import { sendOnce } from './defaults.ts'
import { message, target } from './message.ts'
import { serveFixture } from './servers.ts'

/** POST is not repeated unless it is listed; nor is 409 or 425; and a refusal is to come as an answer, not as an error. */
const retryOptions: RetryHandler.RetryOptions = {
  methods: ['POST'],
  statusCodes: [409, 425, 429, 500, 502, 503, 504],
  throwOnError: false,
}

async function requested(dispatcher: Dispatcher, sending: Sending): Promise<Received> {
  const { statusCode, body } = await request(target(sending), { ...message(sending), dispatcher })
  return { status: statusCode, body: await body.text() }
}

async function fetched(sending: Sending, dispatcher: Dispatcher = new Agent()): Promise<Received> {
  const response = await fetch(target(sending), { ...message(sending), dispatcher })
  return { status: response.status, body: await response.text() }
}

/** fetch repeats nothing: this is the least that does. */
async function persistently(sending: Sending, repeats = 5): Promise<Received> {
  try {
    const response = await fetch(target(sending), message(sending))
    if (repeats === 0 || ![409, 425, 429, 503].includes(response.status))
      return { status: response.status, body: await response.text() }
    await response.body?.cancel()
    await sleep(1_000 * Number(response.headers.get('retry-after') ?? 1))
  } catch (error) {
    if (repeats === 0) throw error
    await sleep(200)
  }
  return persistently(sending, repeats - 1)
}

const told = { 409: 'asks again when told', 425: 'asks again when told', 503: 'asks again when told' } as const

clientBehaviours({
  name: 'undici with RetryAgent',
  serve: serveFixture,
  send: (sending) => requested(new RetryAgent(new Agent(), retryOptions), sending),
  does: told,
})
clientBehaviours({
  name: 'undici with interceptors.retry',
  serve: serveFixture,
  send: (sending) => requested(new Agent().compose(interceptors.retry(retryOptions)), sending),
  does: told,
})
clientBehaviours({ name: 'fetch in a loop', serve: serveFixture, send: (sending) => persistently(sending), does: told })

test('undici does not repeat a POST by default', async () => {
  const { answered, requests, effects } = await sendOnce((sending) => requested(new RetryAgent(new Agent()), sending))
  assert.deepEqual({ answered, requests, effects }, { answered: false, requests: 1, effects: 1 })
})

test('fetch does not repeat a POST with a body, not even with a RetryAgent', async () => {
  for (const dispatcher of [new Agent(), new RetryAgent(new Agent(), retryOptions)]) {
    const { answered, requests, effects } = await sendOnce((sending) => fetched(sending, dispatcher))
    assert.deepEqual({ answered, requests, effects }, { answered: false, requests: 1, effects: 1 })
  }
})
