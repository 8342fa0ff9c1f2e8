import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Child } from './child.ts'
import { fill } from './fill.ts'
import { cpuPerOperation, interleaved, median, perSecond, type Sample } from './measure.ts'
import { short, spread, target, type Bench, type Report, type Scale } from './report.ts'
import { withDirectory } from './scratch.ts'
import { callers } from './work.ts'
import type { Memory, MillionApi } from './servers/million.ts'

/** Whether a file that has grown is still as fast, and whether its records cost memory. */
export const million: Bench = {
  name: 'million',
  title: `once.run on a SQLite file with many completed records of 200 bytes against one with few, ${callers} callers at once`,
  run: (scale) => withDirectory((directory) => measure(scale, directory)),
}

interface Sizes {
  readonly few: number
  readonly many: number
  /** Operations a round, on each. */
  readonly operations: number
  readonly warmUp: number
  readonly measured: number
}

const sizes: Readonly<Record<Scale, Sizes>> = {
  full: { few: 10_000, many: 1_000_000, operations: 5_000, warmUp: 2, measured: 10 },
  quick: { few: 10_000, many: 100_000, operations: 1_000, warmUp: 1, measured: 3 },
}

/** What one file's process found. */
interface Found {
  readonly records: number
  readonly fileBytes: number
  readonly samples: readonly Sample[]
  readonly before: Memory
  readonly after: Memory
}

async function measure(scale: Scale, directory: string): Promise<Report> {
  const size = sizes[scale]
  const paths = { few: join(directory, 'few.db'), many: join(directory, 'many.db') }
  await fill(paths.few, size.few)
  await fill(paths.many, size.many)
  const bytes = { few: (await stat(paths.few)).size, many: (await stat(paths.many)).size }
  const children = { few: new Child<MillionApi>('million', paths.few), many: new Child<MillionApi>('million', paths.many) }
  try {
    return await compared(size, bytes, children)
  } finally {
    await Promise.all([children.few.stop(), children.many.stop()])
  }
}

async function compared(
  size: Sizes,
  bytes: Readonly<Record<'few' | 'many', number>>,
  { few, many }: Readonly<Record<'few' | 'many', Child<MillionApi>>>,
): Promise<Report> {
  const { operations, warmUp, measured } = size
  const contestants = {
    few: (series: number) => few.ask('run', { series, operations }),
    many: (series: number) => many.ask('run', { series, operations }),
  }
  await interleaved({ warmUp, measured: 0 }, contestants)
  const before = { few: await few.ask('memory'), many: await many.ask('memory') }
  const rounds = await interleaved(
    { warmUp: 0, measured },
    {
      few: (round) => contestants.few(warmUp + round),
      many: (round) => contestants.many(warmUp + round),
    },
  )
  const after = { few: await few.ask('memory'), many: await many.ask('memory') }
  const found = (name: 'few' | 'many'): Found => ({
    records: size[name],
    fileBytes: bytes[name],
    samples: rounds.map((round) => round[name]),
    before: before[name],
    after: after[name],
  })
  return reported(size, found('few'), found('many'))
}

function reported({ many, operations, measured }: Sizes, less: Found, more: Found): Report {
  const smaller = many < 1_000_000 ? ` Quick: ${counted(many)} records stand for the million.` : ''
  const shares = more.samples.map((sample, round) => perSecond(sample) / perSecond(less.samples[round] ?? sample))
  return {
    notes: [
      `${measured} rounds of ${counted(operations)} operations on each, in a process of its own for each file.${smaller}`,
      'memory is what the process held after the warm-up, and how much more after all the rounds, garbage collected',
    ],
    table: {
      columns: ['', 'file MB', 'operations/s', 'CPU µs/operation', 'RSS MB', 'grown by MB', 'heap MB', 'grown by MB'],
      rows: [row(less), row(more)],
    },
    targets: [
      target(`throughput at ${counted(more.records)} records, of that at ${counted(less.records)}`, shares, { atLeast: 0.8 }),
      target('more memory (RSS) with the many records', [megabytes(more.after.rss - less.after.rss)], {
        atMost: 16,
        unit: ' MB',
      }),
    ],
  }
}

function row({ records, fileBytes, samples, before, after }: Found): string[] {
  return [
    `${counted(records)} records`,
    short(megabytes(fileBytes)),
    spread(samples.map(perSecond)),
    short(median(samples.map(cpuPerOperation))),
    short(megabytes(before.rss)),
    short(megabytes(after.rss - before.rss)),
    short(megabytes(before.heap)),
    short(megabytes(after.heap - before.heap)),
  ]
}

function counted(value: number): string {
  return value.toLocaleString('en-US')
}

function megabytes(bytes: number): number {
  return bytes / 1_048_576
}
