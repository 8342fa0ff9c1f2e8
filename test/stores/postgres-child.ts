/** A process with fifty callers of one operation, on the database told in its argument. It says what was done and answered. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'pg'
import { onceward } from 'onceward'
import { postgres } from 'onceward/postgres'

const pool = new Pool({ connectionString: process.argv[2], max: 4 })
const once = onceward({ store: postgres(pool) })
const call = async (): Promise<number> =>
  once.run({ scope: 'acme', name: 'charge', key: 'order-17', input: 1 }, async () => {
    console.log('effect')
    await sleep(200)
    return 42
  })
for (const value of await Promise.all(Array.from({ length: 50 }, call))) console.log(`answer ${value}`)
await once.close()
await pool.end()
