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
import { short, target, type Bench, type Report, type Scale, type Target } from './report.ts'
import { mariadbServer, postgresServer, redisServer, type Runner, type StoreServer } from './store-servers.ts'
import { callers, handler, input, keyOf } from './work.ts'

/** What batches gain on each server, and what they cost a caller who is alone. */
export const stores: Bench = {
  name: 'stores',
  title: `once.run on each server against a statement or command for each claim and for each completion, in process`,
  run: measure,
}

/** A server, and how much faster than the naive shape Onceward is wanted to be on it. */
interface Contest {
  readonly name: string
  readonly start: () => Promise<StoreServer>
  readonly atLeast: number
  readonly sizes: Readonly<Record<Scale, Sizes>>
}

/** Operations a round of each shape: with all callers at once, and with one alone. */
interface Sizes {
  readonly together: number
  readonly alone: number
}

const onDisk = { full: { together: 3_000, alone: 200 }, quick: { together: 400, alone: 20 } }
const inMemory = { full: { together: 6_000, alone: 400 }, quick: { together: 1_000, alone: 50 } }

const contests: readonly Contest[] = [
  { name: 'Postgres', start: postgresServer, atLeast: 3, sizes: onDisk },
  { name: 'MariaDB', start: mariadbServer, atLeast: 2, sizes: onDisk },
  { name: 'Redis', start: () => redisServer([]), atLeast: 1.3, sizes: inMemory },
  {
    name: 'Redis, appendfsync always',
    start: () => redisServer(['--appendonly', 'yes', '--appendfsync', 'always']),
    atLeast: 1.3,
    sizes: inMemory,
  },
]

/** One shape's round: with all callers at once, then with one alone. */
interface Both {
  readonly together: Sample
  readonly aloneMs: readonly number[]
}

interface Found {
  readonly contest: Contest
  readonly rounds: readonly Readonly<Record<'naive' | 'onceward', Both>>[]
}

async function measure(scale: Scale): Promise<Report> {
  const found: Found[] = []
  for (const contest of chosen()) found.push({ contest, rounds: await contested(contest, scale) })
  return {
    notes: [
      `private servers; on each ${found[0]?.rounds.length} rounds of both shapes in turn, with ${callers} callers and then with one;`,
      'every handler ran once for each of its keys',
    ],
    table: {
      columns: ['', 'operations/s', 'CPU µs/operation', 'of a core', 'alone: p50 ms', 'p99 ms'],
      rows: found.flatMap(({ contest: { name }, rounds }) => [
        row(
          `${name}: naive`,
          rounds.map(({ naive }) => naive),
        ),
        row(
          `${name}: once.run`,
          rounds.map((round) => round.onceward),
        ),
      ]),
    },
    targets: found.flatMap(targets),
  }
}

/** `BENCH_STORES=redis` measures those alone whose name has that in it. */
function chosen(): readonly Contest[] {
  const word = process.env['BENCH_STORES'] ?? ''
  return contests.filter(({ name }) => name.toLowerCase().includes(word.toLowerCase()))
}

async function contested({ start, sizes }: Contest, scale: Scale): Promise<Found['rounds']> {
  const server = await start()
  try {
    return await interleaved(scale === 'full' ? { warmUp: 2, measured: 9 } : { warmUp: 1, measured: 2 }, {
      naive: async () => both(await server.naive(), sizes[scale]),
      onceward: async () => both(await server.onceward(), sizes[scale]),
    })
  } finally {
    await server.stop()
  }
}

/** One round. Fails unless the handler ran as often as it should have. */
async function both(runner: Runner, { together: operations, alone }: Sizes): Promise<Both> {
  let effects = 0
  const work = (): ReturnType<typeof handler> => {
    effects += 1
    return handler()
  }
  const charge = (key: string): Promise<unknown> => runner.run({ scope: 'acme', name: 'charge', key, input }, work)
  try {
    // Connections are made, and statements prepared, before the clock runs.
    await concurrently(callers, 2 * callers, (index) => charge(keyOf(0, index)))
    const together = await sampled(operations, () => concurrently(callers, operations, (index) => charge(keyOf(1, index))))
    const aloneMs = await oneByOne(alone, (index) => charge(keyOf(2, index)))
    const expected = 2 * callers + operations + alone
    if (effects !== expected) throw new Error(`${expected} effects are due, and there were ${effects}`)
    return { together, aloneMs }
  } finally {
    await runner.close()
  }
}

function row(name: string, rounds: readonly Both[]): string[] {
  const middle = (of: (round: Both) => number): string => short(median(rounds.map(of)))
  return [
    name,
    middle(({ together }) => perSecond(together)),
    middle(({ together }) => cpuPerOperation(together)),
    `${middle(({ together }) => (together.cpuUs / together.wallMs) * 0.1)} %`,
    middle(({ aloneMs }) => median(aloneMs)),
    middle(({ aloneMs }) => quantile(aloneMs, 0.99)),
  ]
}

function targets({ contest: { name, atLeast }, rounds }: Found): Target[] {
  return [
    target(
      `${name}: operations a second, of the naive shape`,
      rounds.map(({ naive, onceward }) => perSecond(onceward.together) / perSecond(naive.together)),
      { atLeast, unit: ' ×' },
    ),
    target(
      `${name}: time of a caller alone, of the naive shape`,
      rounds.map(({ naive, onceward }) => median(onceward.aloneMs) / median(naive.aloneMs)),
      { atMost: 1.1, unit: ' ×' },
    ),
  ]
}
