import { Redis } from 'ioredis'
import { onceward } from 'onceward'
import { redis } from 'onceward/redis'
import { startRedis, type RedisServer } from '../scripts/servers/redis.ts'
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
import { NaiveRedis } from './naive-redis.ts'
import { short, target, type Bench, type Report, type Scale } from './report.ts'
import { callers, handler, input, keyOf } from './work.ts'

/** What one script for a batch gains, and what it costs a caller who is alone. */
export const redisBench: Bench = {
  name: 'redis',
  title: `once.run on Redis against SET NX PX for each claim and a script for each completion, in process, ioredis (auto-pipelined)`,
  run: measure,
}

interface Sizes {
  readonly together: number
  readonly alone: number
}

const sizes: Readonly<Record<Scale, Sizes>> = { full: { together: 6_000, alone: 400 }, quick: { together: 1_000, alone: 50 } }

/** How the server keeps what it acknowledged: in memory alone, or on the disk first. */
const settings = [
  { name: 'in memory', args: [] },
  { name: 'appendfsync always', args: ['--appendonly', 'yes', '--appendfsync', 'always'] },
] as const

/** One contestant's round: with all callers at once, then with one alone. */
interface Both {
  readonly together: Sample
  readonly aloneMs: readonly number[]
}

interface Rounds {
  readonly naive: readonly Both[]
  readonly ours: readonly Both[]
}

async function measure(scale: Scale): Promise<Report> {
  const measured: (Rounds & { readonly name: string })[] = []
  for (const { name, args } of settings)
    measured.push({ name, ...(await withServer(args, async (server) => contest(server, scale))) })
  return {
    notes: [
      `a private server; ${sizes[scale].together} operations a round with ${callers} callers, then ${sizes[scale].alone} with one`,
    ],
    table: {
      columns: ['', 'operations/s', 'CPU µs/operation', 'alone: p50 ms', 'p99 ms'],
      rows: measured.flatMap(({ name, naive, ours }) => [row(`two calls each, ${name}`, naive), row(`once.run, ${name}`, ours)]),
    },
    targets: measured.flatMap(({ name, naive, ours }) => [
      target(
        `${name}: operations a second, of the naive shape`,
        ours.map((round, index) => perSecond(round.together) / perSecond(naive[index]?.together ?? round.together)),
        { atLeast: 1.3, unit: ' ×' },
      ),
      target(
        `${name}: time of a caller alone, of the naive shape`,
        ours.map((round, index) => median(round.aloneMs) / median(naive[index]?.aloneMs ?? round.aloneMs)),
        { atMost: 1.1, unit: ' ×' },
      ),
    ]),
  }
}

async function contest(server: RedisServer, scale: Scale): Promise<Rounds> {
  const rounds = await interleaved(scale === 'full' ? { warmUp: 2, measured: 9 } : { warmUp: 1, measured: 3 }, {
    naive: () => naively(server, sizes[scale]),
    onceward: () => withOnceward(server, sizes[scale]),
  })
  return { naive: rounds.map(({ naive }) => naive), ours: rounds.map((round) => round.onceward) }
}

async function naively(server: RedisServer, size: Sizes): Promise<Both> {
  const client = new Redis({ host: '127.0.0.1', port: server.port, enableAutoPipelining: true })
  const naive = new NaiveRedis(client)
  const both = await charged(server, size, (key) => naive.run({ scope: 'acme', name: 'charge', key, input }, handler))
  client.disconnect()
  return both
}

async function withOnceward(server: RedisServer, size: Sizes): Promise<Both> {
  const client = new Redis({ host: '127.0.0.1', port: server.port })
  const once = onceward({ store: redis(client) })
  await once.open()
  const both = await charged(server, size, (key) => once.run({ scope: 'acme', name: 'charge', key, input }, handler))
  await once.close()
  client.disconnect()
  return both
}

/** Emptied first, so that no round has more keys than another. */
async function charged(
  server: RedisServer,
  { together, alone }: Sizes,
  charge: (key: string) => Promise<unknown>,
): Promise<Both> {
  await server.command('FLUSHALL')
  const sample = await sampled(together, () => concurrently(callers, together, (index) => charge(keyOf(0, index))))
  return { together: sample, aloneMs: await oneByOne(alone, (index) => charge(keyOf(1, index))) }
}

function row(name: string, rounds: readonly Both[]): string[] {
  const middle = (of: (round: Both) => number): string => short(median(rounds.map(of)))
  return [
    name,
    middle(({ together }) => perSecond(together)),
    middle(({ together }) => cpuPerOperation(together)),
    middle(({ aloneMs }) => median(aloneMs)),
    middle(({ aloneMs }) => quantile(aloneMs, 0.99)),
  ]
}

async function withServer<Result>(args: readonly string[], work: (server: RedisServer) => Promise<Result>): Promise<Result> {
  const server = await startRedis({ args })
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}
