import assert from 'node:assert/strict'
import { test } from 'node:test'
import { got, type Got } from 'got'
import { clientBehaviours, type Received, type Sending } from './client-behaviours.ts'
import { sendOnce } from './defaults.ts'
import { charge, target } from './message.ts'
import { serveFixture } from './servers.ts'

/** POST is not repeated unless it is listed; of the refusals only 503 is. */
const persistent = got.extend({
  retry: { limit: 5, methods: ['POST'], statusCodes: [409, 425, 429, 500, 502, 503, 504] },
  throwHttpErrors: false,
})

async function posted(client: Got, sending: Sending): Promise<Received> {
  const headers = { 'Idempotency-Key': sending.key }
  const { statusCode, body } = await client.post(target(sending), { json: charge, headers })
  return { status: statusCode, body }
}

clientBehaviours({
  name: 'got',
  serve: serveFixture,
  send: (sending) => posted(persistent, sending),
  does: { 409: 'asks again when told', 425: 'asks again when told', 503: 'asks again when told' },
})

test('got does not repeat a POST by default', async () => {
  const { answered, requests, effects } = await sendOnce((sending) => posted(got, sending))
  assert.deepEqual({ answered, requests, effects }, { answered: false, requests: 1, effects: 1 })
})
