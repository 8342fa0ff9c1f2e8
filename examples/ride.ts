// Booking a ride: three effects in three places, each once, although the process fails in the middle of it.
import { onceward, refusal, type Attempt } from 'onceward'
import { memory } from 'onceward/memory'

/** A payment provider that takes an idempotency key, as most do. */
const payments = new Map<string, string>()
const pay = (idempotencyKey: string): string => {
  const payment = payments.get(idempotencyKey) ?? `payment ${payments.size + 1}`
  payments.set(idempotencyKey, payment)
  return payment
}
const refunds: string[] = []
const messages: string[] = []
const drivers = ['Ada']

const once = onceward({ store: memory() })
const ride = once.operation('ride', { ttl: '7d', attemptsMax: 5 }, async (attempt: Attempt, { to }: { to: string }) => {
  await attempt.step('payment', ({ key }) => pay(key), { undo: (payment) => void refunds.push(payment) })
  const driver = await attempt.step('driver', () => drivers.pop() ?? null)
  if (driver === null) throw refusal(409, 'no driver is free') // the payment is refunded, then this is the answer
  if (attempt.number === 1) throw new Error('the process fails here')
  // A provider without keys: at most once. In doubt the operation is held, until somebody finds out.
  await attempt.step('message', () => void messages.push(`${driver} takes you to ${to}`), { uncertain: 'hold' })
  return { driver, to }
})

const book = (key: string, to: string): Promise<unknown> =>
  ride({ scope: 'acme', key }, { to }).then(
    ({ value }) => value,
    (error: Error) => error.message,
  )

console.log('first:', await book('ride-1', 'the station'))
console.log('again:', await book('ride-1', 'the station'))
console.log('once more:', await book('ride-1', 'the station'))
console.log('another:', await book('ride-2', 'the harbour'))
console.log(`payments: ${payments.size}, refunds: ${refunds.length}, messages: ${messages.length}`)
await once.close()
