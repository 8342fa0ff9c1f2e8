import { parentPort, workerData } from 'node:worker_threads'
import { noCounts, type Counts } from './counts.ts'
import { simulate, type Report } from './simulation.ts'
import type { InterruptedRule } from 'onceward'

/** Which runs a worker shall make. */
export interface SeedsWanted {
  readonly seeds: readonly number[]
  /** The rule for interrupted attempts; by chance where none is given. */
  readonly interrupted?: InterruptedRule
}

/** What they came to: the first that went wrong, or all of them counted together. */
export interface SeedsRun {
  readonly wrong: Report | undefined
  readonly totals: Counts
}

async function run({ seeds, ...variant }: SeedsWanted): Promise<SeedsRun> {
  const totals = noCounts()
  for (const seed of seeds) {
    const report = await simulate(seed, variant)
    if (report.violations.length > 0) return { wrong: report, totals }
    for (const what of Object.keys(totals) as (keyof Counts)[]) totals[what] += report.counts[what]
  }
  return { wrong: undefined, totals }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port has no origin
parentPort?.postMessage(await run(workerData))
