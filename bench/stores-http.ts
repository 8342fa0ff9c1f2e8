import { postgresMissing, startPostgres } from '../scripts/servers/postgres.ts'
import { startRedis } from '../scripts/servers/redis.ts'
import { Child } from './child.ts'
import { interleaved, median } from './measure.ts'
import { ServerUnderLoad, type Served } from './served.ts'
import { short, target, type Bench, type Report, type Scale } from './report.ts'
import { callers } from './work.ts'
import type { Behind } from './servers/fastify.ts'
import type { ServerApi } from './servers/serve.ts'
import type { LoadApi } from './servers/load.ts'

/** What a request pays for the line in front of its handler, where the store is a server. */
export const storesHttp: Bench = {
  name: 'stores',
  title: `Fastify with Onceward on Postgres and on Redis (in memory) against bare Fastify, ${callers} connections, POST of 50 bytes of JSON`,
  run: measure,
}

interface Sizes {
  /** Requests a contestant and round. */
  readonly requests: number
  readonly warmUp: number
  readonly measured: number
}

const sizes: Readonly<Record<Scale, Sizes>> = {
  full: { requests: 5_000, warmUp: 2, measured: 9 },
  quick: { requests: 400, warmUp: 1, measured: 2 },
}

/** Keys that are new on each server; and where there is Onceward, the keys of the round before once more. */
type Contestant = Behind | 'postgresReplays' | 'redisReplays'
type Round = Readonly<Record<Contestant, Served>>

async function measure(scale: Scale): Promise<Report> {
  const postgres = await startPostgres()
  if (postgres === undefined) throw new Error(postgresMissing)
  const redis = await startRedis()
  const load = new Child<LoadApi>('load')
  const server = (behind: Behind, address: string): ServerUnderLoad =>
    new ServerUnderLoad(new Child<ServerApi>('fastify', behind, address), { load, requests: sizes[scale].requests })
  const servers = {
    bare: server('bare', ''),
    postgres: server('postgres', await postgres.database()),
    redis: server('redis', redis.url),
  }
  try {
    return reported(sizes[scale], await raced(sizes[scale], servers))
  } finally {
    await Promise.all([servers.bare.stop(), servers.postgres.stop(), servers.redis.stop(), load.stop()])
    await Promise.all([postgres.stop(), redis.stop()])
  }
}

async function raced(
  rounds: Sizes,
  { bare, postgres, redis }: Readonly<Record<Behind, ServerUnderLoad>>,
): Promise<readonly Round[]> {
  for (const server of [postgres, redis]) {
    // The series that the first round replays.
    await server.send(0)
    await server.checkReplay(0)
  }
  return interleaved<Contestant, Served>(rounds, {
    bare: (round) => bare.send(round + 1),
    postgres: (round) => postgres.send(round + 1),
    postgresReplays: (round) => postgres.replay(round),
    redis: (round) => redis.send(round + 1),
    redisReplays: (round) => redis.replay(round),
  })
}

function reported({ requests, measured }: Sizes, rounds: readonly Round[]): Report {
  const wanted = (what: string, name: Contestant, atLeast: number): Report['targets'][number] =>
    target(
      what,
      rounds.map((round) => round[name].requestsPerSecond / round.bare.requestsPerSecond),
      { atLeast },
    )
  return {
    notes: [
      `${measured} rounds of ${requests} requests to each server, which is a process of its own, as is the load (autocannon);`,
      'every answer was 2xx, and every handler ran once for each of its keys',
    ],
    table: {
      columns: ['', 'requests/s', 'of bare', 'CPU µs/request', 'over bare', 'p50 ms', 'p99 ms', 'client CPU'],
      rows: [
        row('bare', rounds, 'bare'),
        row('Onceward on Postgres', rounds, 'postgres'),
        row('its replays', rounds, 'postgresReplays'),
        row('Onceward on Redis', rounds, 'redis'),
        row('its replays', rounds, 'redisReplays'),
      ],
    },
    targets: [
      wanted('Postgres: throughput, of bare', 'postgres', 0.33),
      wanted('Postgres: throughput of replays, of bare', 'postgresReplays', 0.7),
      wanted('Redis: throughput, of bare', 'redis', 0.6),
      wanted('Redis: throughput of replays, of bare', 'redisReplays', 0.7),
    ],
  }
}

function row(title: string, rounds: readonly Round[], name: Contestant): string[] {
  const middle = (of: (round: Round) => number): string => short(median(rounds.map(of)))
  return [
    title,
    middle((round) => round[name].requestsPerSecond),
    name === 'bare' ? '' : middle((round) => round[name].requestsPerSecond / round.bare.requestsPerSecond),
    middle((round) => round[name].cpuPerRequest),
    name === 'bare' ? '' : middle((round) => round[name].cpuPerRequest - round.bare.cpuPerRequest),
    middle((round) => round[name].p50),
    middle((round) => round[name].p99),
    `${middle((round) => (round[name].clientCpuUs / round[name].wallMs) * 0.1)} %`,
  ]
}
