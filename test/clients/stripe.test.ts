import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Stripe } from 'stripe'
import { clientBehaviours, type Received, type Sending } from './client-behaviours.ts'
import { sendOnce } from './defaults.ts'
import { serveProvider, type Served, type Serving } from './servers.ts'

const serve = (serving: Serving): Promise<Served> => serveProvider(['/v1/charges'], serving)

/** 5 repeats, where the SDK has 2 of itself: its pauses are its own, whatever Retry-After says. */
function stripeAt(url: string, maxNetworkRetries = 5): Stripe {
  const { hostname, port } = new URL(url)
  return new Stripe('sk_test_1', { host: hostname, port: Number(port), protocol: 'http', maxNetworkRetries, telemetry: false })
}

async function charged({ url, key }: Sending): Promise<Received> {
  const idempotencyKey = { idempotencyKey: key }
  try {
    const charge = await stripeAt(url).charges.create({ amount: 1299, currency: 'eur' }, idempotencyKey)
    return { status: charge.lastResponse.statusCode, body: JSON.stringify(charge) }
  } catch (error) {
    if (!(error instanceof Stripe.errors.StripeError) || error.statusCode === undefined) throw error
    return { status: error.statusCode, body: '' }
  }
}

clientBehaviours({
  name: 'stripe',
  serve,
  send: charged,
  does: { 409: 'asks again in its own time', 425: 'reports', 503: 'asks again in its own time' },
})

test('the Stripe SDK makes up a key for each POST, and repeats it once when the connection broke, even where repeats are switched off', async () => {
  const send = ({ url }: Sending): Promise<unknown> => stripeAt(url, 0).charges.create({ amount: 1299, currency: 'eur' })
  const { answered, effects, seen } = await sendOnce(send, { serve: () => serve({}) })
  assert.deepEqual([answered, seen.length, effects], [true, 2, 1])
  const [first, second] = seen
  assert.match(first?.key ?? '', /^stripe-node-retry-/)
  assert.equal(second?.key, first?.key)
})

test('the Stripe SDK takes a refusal without an `error` member for the result: lastResponse.statusCode tells them apart', async () => {
  const received: Stripe.Response<Stripe.Charge>[] = []
  const send = async ({ url, key }: Sending): Promise<void> => {
    const stripe = stripeAt(url)
    const idempotencyKey = { idempotencyKey: key }
    await stripe.charges.create({ amount: 1, currency: 'eur' }, idempotencyKey)
    received.push(await stripe.charges.create({ amount: 2, currency: 'eur' }, idempotencyKey))
  }
  const { answered, effects } = await sendOnce(send, { fates: [], serve: () => serve({}) })
  assert.deepEqual([answered, effects], [true, 1])
  assert.equal(received[0]?.lastResponse.statusCode, 422)
  assert.equal(Reflect.get(received[0], 'code'), 'idempotency_key_reused')
})
