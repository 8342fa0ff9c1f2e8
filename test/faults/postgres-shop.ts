/**
 * A shop on the database told in its first argument. `work PREFIX COUNT`: takes that many orders, eight at a time, in an order of its own, and
 * says what each was answered. `stand KEY`: takes one order, and stands in the middle of it until it may go on.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'pg'
import { isOncewardError, onceward } from 'onceward'
import { postgres } from 'onceward/postgres'

const [url = '', mode, prefix = '', count = '0'] = process.argv.slice(2)
const pool = new Pool({ connectionString: url, max: 4 })
pool.on('error', () => {})
const once = onceward({ store: postgres(pool), transactionTimeout: mode === 'stand' ? '1s' : '3s' })
await once.open()

async function take(key: string): Promise<void> {
  const item = await once.transaction({ scope: 'acme', name: 'order', key }, async ({ tx }) => {
    if (mode === 'stand') console.log('standing')
    const { rows } = await tx.query<{ id: number }>('INSERT INTO orders (item) VALUES ($1) RETURNING id', [key])
    await sleep(mode === 'stand' ? 300 : Math.random() * 5)
    if (mode === 'stand') await tx.query('INSERT INTO orders (item) VALUES ($1)', [`${key} again`])
    return rows[0]?.id
  })
  console.log(`answer ${key} ${item}`)
}

if (mode === 'stand')
  await take(prefix).catch((error: unknown) => console.log(`failed ${isOncewardError(error) ? error.code : String(error)}`))
else {
  const keys = Array.from({ length: Number(count) }, (_, index) => `${prefix}-${index}`).toSorted(() => Math.random() - 0.5)
  console.log('ready')
  const worker = async (): Promise<void> => {
    for (let key = keys.pop(); key !== undefined; key = keys.pop()) await take(key)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}
await once.close()
await pool.end()
