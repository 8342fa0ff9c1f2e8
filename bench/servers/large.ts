// Runs operations on the Postgres database given, when asked to.
import { setTimeout as pause } from 'node:timers/promises'
import { onceward } from 'onceward'
import { postgres } from 'onceward/postgres'
import { Pool } from 'pg'
import { concurrently, sampled, type Sample } from '../measure.ts'
import { callers, handler, input, keyOf, poolMax } from '../work.ts'
import { answerParent } from './answer.ts'

/** After this long the store's sweeping has begun, where there is something to sweep. Milliseconds. */
const sweepingMs = 1_500

const pool = new Pool({ connectionString: process.argv[2], max: poolMax })
pool.on('error', () => undefined)

const api = {
  /** Operations with keys that are new for the series. The store is open for this round alone: it sweeps while no other round is measured. */
  async run({ series, operations }: { series: number; operations: number }): Promise<Sample> {
    const once = onceward({ store: postgres(pool, { listen: false }) })
    await once.open()
    await pause(sweepingMs)
    const charge = (index: number): Promise<unknown> =>
      once.run({ scope: 'acme', name: 'charge', key: keyOf(series, index), input }, handler)
    const sample = await sampled(operations, () => concurrently(callers, operations, charge))
    await once.close()
    return sample
  },
}

/** What this process can be asked. */
export type LargeApi = typeof api

answerParent(api, () => pool.end())
