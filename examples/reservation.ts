// A payout that a job makes later: reserved by the request, committed by the job, asked for again in between and after.
import { onceward } from 'onceward'
import { memory } from 'onceward/memory'

const once = onceward({ store: memory() })
const queue: { token: string; amount: number }[] = []

/** What the API does with a request: it answers at once, and the work is a job's. */
async function request(key: string, amount: number): Promise<string> {
  const found = await once.reserve<{ paid: number }>({ scope: 'acme', name: 'payout', key, input: { amount } })
  if (found.state === 'reserved') queue.push({ token: found.token, amount })
  return found.state === 'completed' ? `${found.state}, paid ${found.value.paid}` : found.state
}

/** What a worker does, in whichever process. The same job twice is committed once. */
async function work(): Promise<void> {
  for (const { token, amount } of queue.splice(0)) await once.commit(token, { paid: amount })
}

console.log('first:', await request('payout-1', 5))
console.log('again:', await request('payout-1', 5))
console.log('another amount:', await request('payout-1', 6))
await work()
console.log('after the job:', await request('payout-1', 5))
await once.close()
