import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI, { APIError } from 'openai'
import { clientBehaviours, type Received, type Sending } from './client-behaviours.ts'
import { sendOnce } from './defaults.ts'
import { serveProvider, type Served, type Serving } from './servers.ts'

const serve = (serving: Serving): Promise<Served> => serveProvider(['/v1/responses'], serving)

/** The option idempotencyKey is sent by a client that has a name for its header. */
class KeyedOpenAI extends OpenAI {
  protected override idempotencyHeader = 'Idempotency-Key'
}

async function received(answer: Promise<object>, status: () => number): Promise<Received> {
  try {
    return { body: JSON.stringify(await answer), status: status() }
  } catch (error) {
    if (!(error instanceof APIError) || typeof error.status !== 'number') throw error
    return { status: error.status, body: '' }
  }
}

function asked(client: OpenAI, options: OpenAI.RequestOptions): Promise<Received> {
  const answer = client.responses.create({ model: 'any', input: 'Say once.' }, options)
  return received(answer, () => 200)
}

const settings = (url: string): { apiKey: string; baseURL: string; maxRetries: number } => ({
  apiKey: 'sk-1',
  baseURL: `${url}/v1`,
  maxRetries: 5,
})
const does = { 409: 'asks again when told', 425: 'reports', 503: 'asks again when told' } as const

clientBehaviours({
  name: 'openai with the header in each call',
  serve,
  send: ({ url, key }) => asked(new OpenAI(settings(url)), { headers: { 'Idempotency-Key': key } }),
  does,
})
clientBehaviours({
  name: 'openai with a name for its header',
  serve,
  send: ({ url, key }) => asked(new KeyedOpenAI(settings(url)), { idempotencyKey: key }),
  does,
})

test('the OpenAI SDK sends no key of itself, and idempotencyKey alone does not make it: where keys are required its request is refused', async () => {
  const send = ({ url, key }: Sending): Promise<unknown> =>
    new OpenAI(settings(url)).responses.create({ model: 'any', input: 'Say once.' }, { idempotencyKey: key })
  const { answered, effects, seen } = await sendOnce(send, { fates: [], serve: () => serve({}) })
  assert.deepEqual([answered, effects], [false, 0])
  assert.deepEqual(
    seen.map(({ key, status }) => ({ key, status })),
    [{ key: undefined, status: 400 }],
  )
})

test('the OpenAI SDK with a name for its header makes up a key for each call', async () => {
  const send = ({ url }: Sending): Promise<unknown> => asked(new KeyedOpenAI(settings(url)), {})
  const { answered, effects, seen } = await sendOnce(send, { serve: () => serve({}) })
  assert.deepEqual([answered, seen.length, effects], [true, 2, 1])
  assert.match(seen[0]?.key ?? '', /^stainless-node-retry-/)
  assert.equal(seen[1]?.key, seen[0]?.key)
})
