import assert from 'node:assert/strict'
import { test } from 'node:test'
import ky, { HTTPError, type KyInstance } from 'ky'
import { clientBehaviours, type Received, type Sending } from './client-behaviours.ts'
import { sendOnce } from './defaults.ts'
import { charge, target } from './message.ts'
import { serveFixture } from './servers.ts'

/** POST is not repeated unless it is listed; of the refusals only 503 is, and only for those in the second list Retry-After counts. */
const persistent = ky.extend({
  retry: {
    limit: 5,
    methods: ['post'],
    statusCodes: [409, 425, 429, 500, 502, 503, 504],
    afterStatusCodes: [409, 425, 429, 503],
  },
})

async function posted(client: KyInstance, sending: Sending): Promise<Received> {
  const headers = { 'Idempotency-Key': sending.key }
  try {
    const response = await client.post(target(sending), { json: charge, headers })
    return { status: response.status, body: await response.text() }
  } catch (error) {
    if (!(error instanceof HTTPError)) throw error
    return { status: error.response.status, body: '' }
  }
}

clientBehaviours({
  name: 'ky',
  serve: serveFixture,
  send: (sending) => posted(persistent, sending),
  does: { 409: 'asks again when told', 425: 'asks again when told', 503: 'asks again when told' },
})

test('ky does not repeat a POST by default', async () => {
  const { answered, requests, effects } = await sendOnce((sending) => posted(ky, sending))
  assert.deepEqual({ answered, requests, effects }, { answered: false, requests: 1, effects: 1 })
})
