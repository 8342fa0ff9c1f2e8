import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What a piece of work cost. */
export interface Sample {
  readonly operations: number
  readonly wallMs: number
  /** Of the whole process: its collector and its compiler too. Microseconds. */
  readonly cpuUs: number
}

/** Rounds that are run, and rounds before them that are dropped: code is compiled and caches are filled in those. */
export interface Rounds {
  readonly warmUp: number
  readonly measured: number
}

/** Does the work, and says what it cost this process. */
export async function sampled(operations: number, work: () => Promise<unknown>): Promise<Sample> {
  // What was left by the work before it shall not be collected at this one's expense.
  collectGarbage()
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  await work()
  const wallMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpu)
  return { operations, wallMs, cpuUs: user + system }
}

/** Operations a second. */
export function perSecond({ operations, wallMs }: Sample): number {
  return (operations / wallMs) * 1000
}

/** Microseconds of CPU an operation. */
export function cpuPerOperation({ operations, cpuUs }: Sample): number {
  return cpuUs / operations
}

/**
 * Runs the contestants in turn, round after round, so that a machine that slows down slows them all; who begins changes with
 * the round. Gives every measured round, the results by contestant.
 */
export async function interleaved<Name extends string, Result>(
  { warmUp, measured }: Rounds,
  contestants: Readonly<Record<Name, (round: number) => Promise<Result>>>,
): Promise<Record<Name, Result>[]> {
  const names = Object.keys(contestants) as Name[]
  const rounds: Record<Name, Result>[] = []
  for (let round = 0; round < warmUp + measured; round += 1) {
    const results: Partial<Record<Name, Result>> = {}
    for (const name of rotated(names, round)) results[name] = await contestants[name](round)
    if (round >= warmUp) rounds.push(results as Record<Name, Result>)
  }
  return rounds
}

/** Does `operation` with the numbers below `operations`, at most `callers` of them at a time. */
export async function concurrently(
  callers: number,
  operations: number,
  operation: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const caller = async (): Promise<void> => {
    while (next < operations) {
      const index = next
      next += 1
      await operation(index)
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
}

/** Does `operation` with the numbers below `operations`, one after the other; how long each took, in milliseconds. */
export async function oneByOne(operations: number, operation: (index: number) => Promise<unknown>): Promise<number[]> {
  const latenciesMs: number[] = []
  for (let index = 0; index < operations; index += 1) {
    const startedAt = performance.now()
    await operation(index)
    latenciesMs.push(performance.now() - startedAt)
  }
  return latenciesMs
}

/** The value in the middle, which a few bad rounds do not move. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The value below which this share of the values lies: the nearest one, so that it was really measured. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).toSorted()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** The least of the values. */
export function min(values: readonly number[]): number {
  return Math.min(...values)
}

/** The greatest of the values. */
export function max(values: readonly number[]): number {
  return Math.max(...values)
}

/** Collects garbage now, so that memory is compared at its least. */
export const collectGarbage: () => void = exposedCollector()

function exposedCollector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = by % items.length
  return [...items.slice(start), ...items.slice(0, start)]
}
