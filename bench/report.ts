import { max, median, min } from './measure.ts'

/** How much is measured: `quick` shows that everything runs, in seconds, and its numbers say little. */
export type Scale = 'full' | 'quick'

/** One benchmark, as `npm run bench <name>` knows it. */
export interface Bench {
  readonly name: string
  /** What is compared with what, in one line. */
  readonly title: string
  run(scale: Scale): Promise<Report>
}

/** What a benchmark found. */
export interface Report {
  /** How it was measured, where that changes from run to run. */
  readonly notes: readonly string[]
  readonly table: Table
  readonly targets: readonly Target[]
}

/** A heading for each column, and rows of as many cells. */
export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** A number that the project wants, and what this run measured. */
export interface Target {
  readonly what: string
  readonly wanted: string
  readonly measured: string
  readonly met: boolean
}

/** A bound that a target has: the measured number is to be at least, or at most, this one. */
export interface Bound {
  readonly atLeast?: number
  readonly atMost?: number
  /** Behind the numbers, such as ` µs`. */
  readonly unit?: string
}

/** The median of the rounds against the bound; beside it, how far apart the rounds were. */
export function target(what: string, rounds: readonly number[], { atLeast, atMost, unit = '' }: Bound): Target {
  const middle = median(rounds)
  return {
    what,
    wanted: atLeast === undefined ? `at most ${atMost}${unit}` : `at least ${atLeast}${unit}`,
    measured: `${spread(rounds)}${unit}`,
    met: middle >= (atLeast ?? -Infinity) && middle <= (atMost ?? Infinity),
  }
}

/** The median of the rounds, and the least and the greatest of them. */
export function spread(rounds: readonly number[]): string {
  return `${short(median(rounds))} (${short(min(rounds))} to ${short(max(rounds))})`
}

/** A number with as many digits as a noisy measurement deserves. */
export function short(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** The report as text. */
export function printed({ name, title }: Bench, { notes, table, targets }: Report): string {
  const lines = targets.map(
    (each) => `${each.met ? 'met    ' : 'not met'}  ${each.what}: ${each.measured}, wanted ${each.wanted}`,
  )
  return [`\n${name}: ${title}`, ...notes.map((note) => `  ${note}`), '', ...aligned(table), '', ...lines].join('\n')
}

/** The first column is words, the others are numbers. */
function aligned({ columns, rows }: Table): string[] {
  const all = [columns, ...rows]
  const widths = columns.map((_, column) => max(all.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')
  return all.map((row) => `  ${line(row)}`.trimEnd())
}
