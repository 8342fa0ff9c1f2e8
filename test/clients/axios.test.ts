import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, isAxiosError, type AxiosInstance } from 'axios'
import axiosRetry, { exponentialDelay, isNetworkError, isRetryableError } from 'axios-retry'
import { clientBehaviours, type Received, type Sending } from './client-behaviours.ts'
import { sendOnce } from './defaults.ts'
import { charge, target } from './message.ts'
import { serveFixture } from './servers.ts'

/** POST is not repeated by default; 409 and 425 are never retryable of themselves. */
function persistent(): AxiosInstance {
  const client = create({ responseType: 'text', transformResponse: [], validateStatus: null })
  axiosRetry(client, {
    retries: 5,
    retryDelay: (count, error) => exponentialDelay(count, error),
    retryCondition: (error) =>
      isNetworkError(error) || isRetryableError(error) || [409, 425].includes(error.response?.status ?? 0),
    validateResponse: ({ status }) => status < 400,
  })
  return client
}

async function posted(client: AxiosInstance, sending: Sending): Promise<Received> {
  const { status, data } = await client
    .post<string>(target(sending), charge, { headers: { 'Idempotency-Key': sending.key } })
    .catch((error: unknown) => {
      if (isAxiosError<string>(error) && error.response !== undefined) return error.response
      throw error
    })
  return { status, body: data }
}

clientBehaviours({
  name: 'axios with axios-retry',
  serve: serveFixture,
  send: (sending) => posted(persistent(), sending),
  does: { 409: 'asks again when told', 425: 'asks again when told', 503: 'asks again when told' },
})

test('axios repeats nothing, and with axios-retry repeats a POST whose connection broke but not one refused with 409, 425 or 503', async () => {
  const plain = await sendOnce((sending) => posted(create(), sending))
  assert.deepEqual([plain.answered, plain.requests, plain.effects], [false, 1, 1])
  const withRetry = (): AxiosInstance => {
    const client = create()
    axiosRetry(client)
    return client
  }
  const lost = await sendOnce((sending) => posted(withRetry(), sending))
  assert.deepEqual([lost.answered, lost.requests, lost.effects], [true, 2, 1])
  for (const refused of [409, 425, 503]) {
    const fates = [{ refused, retryAfter: 1 }]
    const { requests } = await sendOnce((sending) => posted(withRetry(), sending), { fates })
    assert.equal(requests, 1)
  }
})
