import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiException, Svix } from 'svix'
import { clientBehaviours, type Received, type Sending } from './client-behaviours.ts'
import { sendOnce } from './defaults.ts'
import { serveProvider, type Served, type Serving } from './servers.ts'

const serve = (serving: Serving): Promise<Served> => serveProvider(['/api/v1/app/:app/msg'], serving)

const event = { eventType: 'invoice.paid', payload: { invoice: 17 } }

async function messaged({ url, key }: Sending): Promise<Received> {
  const svix = new Svix('sk_1.eu', { serverUrl: url })
  try {
    return { status: 200, body: JSON.stringify(await svix.message.create('app_1', event, { idempotencyKey: key })) }
  } catch (error) {
    if (!(error instanceof ApiException)) throw error
    return { status: error.code, body: '' }
  }
}

clientBehaviours({
  name: 'svix',
  serve,
  send: messaged,
  does: { 409: 'reports', 425: 'reports', 503: 'asks again in its own time' },
})

test('the Svix SDK makes up a key for each POST and keeps it when it asks again', async () => {
  const send = ({ url }: Sending): Promise<unknown> => new Svix('sk_1.eu', { serverUrl: url }).message.create('app_1', event)
  const { answered, effects, seen } = await sendOnce(send, { serve: () => serve({}) })
  assert.deepEqual([answered, seen.length, effects], [true, 2, 1])
  assert.match(seen[0]?.key ?? '', /^auto_/)
  assert.equal(seen[1]?.key, seen[0]?.key)
})
