// Runs a function once for each key, when asked to: with Onceward on the SQLite file given, or with a competitor on the Redis given.
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency'
import { CachePersistenceLayer } from '@aws-lambda-powertools/idempotency/cache'
import { createClient } from 'redis'
import { onceward } from 'onceward'
import { sqlite } from 'onceward/sqlite'
import { concurrently, sampled, type Sample } from '../measure.ts'
import { callers, handler, input, keyOf } from '../work.ts'
import { answerParent } from './answer.ts'

/** What makes the function idempotent. */
export type Library = 'onceward' | 'powertools'

interface Protected {
  readonly charge: (key: string) => Promise<unknown>
  readonly close: () => Promise<unknown> | void
}

let effects = 0

async function charged(): Promise<unknown> {
  effects += 1
  return handler()
}

async function withOnceward(path: string): Promise<Protected> {
  const once = onceward({ store: sqlite(path) })
  await once.open()
  return { charge: (key) => once.run({ scope: 'acme', name: 'charge', key, input }, charged), close: () => once.close() }
}

/**
 * The key is in the payload. The payload is not validated, though Onceward compares its input: on Redis that refuses the replays as well, since
 * the completed record lacks what is compared. No cache of the process: it is the store that is compared.
 */
async function withPowertools(url: string): Promise<Protected> {
  const client = createClient({ url })
  await client.connect()
  const config = new IdempotencyConfig({ eventKeyJmesPath: 'key' })
  // Outside of Lambda it would warn, at each call, that nobody says how much time is left.
  config.registerLambdaContext({ getRemainingTimeInMillis: () => 30_000 })
  const persistenceStore = new CachePersistenceLayer({ client })
  const charge = makeIdempotent(charged, { persistenceStore, config }) as unknown as (event: object) => Promise<unknown>
  return { charge: (key) => charge({ key, input }), close: () => client.close() }
}

const [library = 'onceward', place = ''] = process.argv.slice(2)
const opened = library === 'onceward' ? await withOnceward(place) : await withPowertools(place)

const api = {
  /** Operations with keys that are new for the series; or again those of a series before, when nothing may run. */
  async run({ series, operations, replay }: { series: number; operations: number; replay: boolean }): Promise<Sample> {
    const before = effects
    const sample = await sampled(operations, () =>
      concurrently(callers, operations, (index) => opened.charge(keyOf(series, index))),
    )
    const due = replay ? 0 : operations
    if (effects - before !== due) throw new Error(`${due} effects are due, and there were ${effects - before}`)
    return sample
  },
}

/** What this process can be asked. */
export type FunctionApi = typeof api

answerParent(api, async () => {
  await opened.close()
})
