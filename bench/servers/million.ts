// Runs operations on the SQLite file given, when asked to.
import { onceward } from 'onceward'
import { sqlite } from 'onceward/sqlite'
import { collectGarbage, concurrently, sampled, type Sample } from '../measure.ts'
import { callers, handler, input, keyOf } from '../work.ts'
import { answerParent } from './answer.ts'

/** What this process holds of memory, once garbage is collected. Bytes. */
export interface Memory {
  readonly rss: number
  readonly heap: number
}

const once = onceward({ store: sqlite(process.argv[2] ?? '') })
await once.open()

const api = {
  /** Operations with keys that are new for the series. */
  run({ series, operations }: { series: number; operations: number }): Promise<Sample> {
    const charge = (index: number): Promise<unknown> =>
      once.run({ scope: 'acme', name: 'charge', key: keyOf(series, index), input }, handler)
    return sampled(operations, () => concurrently(callers, operations, charge))
  },
  memory(): Memory {
    collectGarbage()
    const { rss, heapUsed, external } = process.memoryUsage()
    return { rss, heap: heapUsed + external }
  },
}

/** What this process can be asked. */
export type MillionApi = typeof api

answerParent(api, () => once.close())
