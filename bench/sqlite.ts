import { join } from 'node:path'
import { onceward, type Store } from 'onceward'
import { sqlite } from 'onceward/sqlite'
import { countingDriver } from './counting-driver.ts'
import {
  concurrently,
  cpuPerOperation,
  interleaved,
  median,
  oneByOne,
  perSecond,
  quantile,
  sampled,
  type Sample,
} from './measure.ts'
import { NaiveSqlite } from './naive-sqlite.ts'
import { short, target, type Bench, type Report, type Scale } from './report.ts'
import { withDirectory } from './scratch.ts'
import { callers, handler, input, keyOf } from './work.ts'

/** What group commit gains, and what it costs a caller who is alone. */
export const sqliteBench: Bench = {
  name: 'sqlite',
  title: `once.run on a SQLite file (synchronous=FULL) against a transaction for each claim and for each completion, in process`,
  run: (scale) => withDirectory((directory) => measure(scale, directory)),
}

interface Sizes {
  /** Operations a round of Onceward with all callers at once. */
  readonly together: number
  /** The same of the naive shape, which takes about as long for fewer. */
  readonly naive: number
  /** Operations a round of a caller alone. */
  readonly alone: number
}

const sizes: Readonly<Record<Scale, Sizes>> = {
  full: { together: 10_000, naive: 1_500, alone: 400 },
  quick: { together: 1_500, naive: 200, alone: 50 },
}

/** One contestant's round: with all callers at once, then with one alone. */
interface Both {
  readonly together: Sample
  readonly aloneMs: readonly number[]
}

/** Commits an operation, which are counted and not timed. */
interface Commits {
  readonly together: number
  readonly alone: number
}

async function measure(scale: Scale, directory: string): Promise<Report> {
  const size = sizes[scale]
  const rounds = await interleaved(scale === 'full' ? { warmUp: 1, measured: 11 } : { warmUp: 1, measured: 3 }, {
    naive: (round) => naively(join(directory, `naive-${round}.db`), size),
    onceward: (round) => withOnceward(join(directory, `onceward-${round}.db`), size),
  })
  const commits = await counted(join(directory, 'counted.db'), size)
  const naive = rounds.map((round) => round.naive)
  const ours = rounds.map((round) => round.onceward)
  const gained = rounds.map((round) => perSecond(round.onceward.together) / perSecond(round.naive.together))
  return {
    notes: [
      `${rounds.length} rounds, new files each: ${size.naive} operations of the naive shape and ${size.together} of Onceward with ${callers} callers, then ${size.alone} with one`,
    ],
    table: {
      columns: ['', 'operations/s', 'CPU µs/operation', 'commits/operation', 'alone: p50 ms', 'p99 ms', 'commits/operation'],
      rows: [row('a transaction each', naive, { together: 2, alone: 2 }), row('once.run', ours, commits)],
    },
    targets: [
      target('operations a second, of the naive shape', gained, { atLeast: 6, unit: ' ×' }),
      target('commits an operation of a caller alone', [commits.alone], { atMost: 2 }),
    ],
  }
}

function row(name: string, rounds: readonly Both[], commits: Commits): string[] {
  const middle = (of: (round: Both) => number): string => short(median(rounds.map(of)))
  return [
    name,
    middle(({ together }) => perSecond(together)),
    middle(({ together }) => cpuPerOperation(together)),
    short(commits.together),
    middle(({ aloneMs }) => median(aloneMs)),
    middle(({ aloneMs }) => quantile(aloneMs, 0.99)),
    short(commits.alone),
  ]
}

async function naively(path: string, { naive: operations, alone }: Sizes): Promise<Both> {
  const naive = new NaiveSqlite(path)
  const charge = (key: string): Promise<unknown> => naive.run({ scope: 'acme', name: 'charge', key, input }, handler)
  const together = await sampled(operations, () => concurrently(callers, operations, (index) => charge(keyOf(0, index))))
  const aloneMs = await oneByOne(alone, (index) => charge(keyOf(1, index)))
  naive.close()
  return { together, aloneMs }
}

function withOnceward(path: string, { together: operations, alone }: Sizes): Promise<Both> {
  return charging(sqlite(path), async (charge) => {
    const together = await sampled(operations, () => concurrently(callers, operations, (index) => charge(keyOf(0, index))))
    const aloneMs = await oneByOne(alone, (index) => charge(keyOf(1, index)))
    return { together, aloneMs }
  })
}

async function counted(path: string, { alone: operations }: Sizes): Promise<Commits> {
  const { driver, commits } = countingDriver()
  return charging(sqlite(path, { driver }), async (charge) => {
    const atFirst = commits()
    await concurrently(callers, operations * callers, (index) => charge(keyOf(0, index)))
    const between = commits()
    await oneByOne(operations, (index) => charge(keyOf(1, index)))
    return { together: (between - atFirst) / (operations * callers), alone: (commits() - between) / operations }
  })
}

/** Opens the store before the work, so that its tables are there, and closes it behind it. */
async function charging<Result>(
  store: Store,
  work: (charge: (key: string) => Promise<unknown>) => Promise<Result>,
): Promise<Result> {
  const once = onceward({ store })
  await once.open()
  try {
    return await work((key) => once.run({ scope: 'acme', name: 'charge', key, input }, handler))
  } finally {
    await once.close()
  }
}
