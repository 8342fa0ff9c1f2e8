import { join } from 'node:path'
import { Child } from './child.ts'
import { startDurableRedis, type DurableRedis } from './durable-redis.ts'
import { fingerprintCpu } from './fingerprint.ts'
import { cpuPerOperation, interleaved, median, perSecond, type Sample } from './measure.ts'
import { short, target, type Bench, type Report, type Scale, type Target } from './report.ts'
import { withDirectory } from './scratch.ts'
import { ServerUnderLoad, type Served } from './served.ts'
import { streamMemory, type StreamMemory } from './stream.ts'
import { callers } from './work.ts'
import type { FunctionApi, Library } from './servers/function.ts'
import type { Contestant } from './servers/http.ts'
import type { LoadApi } from './servers/load.ts'
import type { ServerApi } from './servers/serve.ts'

/** What the doors for Fastify and Hono cost, what large answers and fingerprints do, and where other libraries stand. */
export const http: Bench = {
  name: 'http',
  title: `Fastify and Hono with Onceward on SQLite (synchronous=FULL) against bare, and beside other libraries on Redis, ${callers} connections, POST of 50 bytes of JSON`,
  run: (scale) => withDirectory((directory) => measure(scale, directory)),
}

interface Sizes {
  /** Requests, or operations, a contestant and round. */
  readonly requests: number
  readonly warmUp: number
  readonly measured: number
  readonly streamBytes: number
  readonly streams: number
  readonly fingerprints: number
}

const sizes: Readonly<Record<Scale, Sizes>> = {
  full: { requests: 2_000, warmUp: 3, measured: 7, streamBytes: 104_857_600, streams: 5, fingerprints: 20_000 },
  quick: { requests: 200, warmUp: 0, measured: 2, streamBytes: 16_777_216, streams: 1, fingerprints: 1_000 },
}

/** What takes turns: servers, their replays, and functions. */
type Turn = Contestant | `${Contestant}-replays` | Library

/** One turn's numbers; those of a function have no connection behind them. */
interface Numbers {
  readonly perSecond: number
  readonly cpu: number
  /** Of the store's process, where it has one of its own. Microseconds a request. */
  readonly storeCpu?: number
  readonly served?: Served
}

type Round = Readonly<Partial<Record<Turn, Numbers>>>

/** A contestant's row. */
interface Row {
  readonly title: string
  readonly turn: Turn
  /** What it is compared with; absent for who is compared with. */
  readonly first?: Turn
  /** Whether it needs Redis. */
  readonly redis?: boolean
}

const rows: readonly Row[] = [
  { title: 'Fastify, bare', turn: 'fastify' },
  { title: 'Fastify, Onceward', turn: 'fastify-onceward', first: 'fastify' },
  { title: 'Fastify, Onceward, replays', turn: 'fastify-onceward-replays', first: 'fastify' },
  { title: 'Hono, bare', turn: 'hono' },
  { title: 'Hono, Onceward', turn: 'hono-onceward', first: 'hono' },
  { title: 'Hono, Onceward, replays', turn: 'hono-onceward-replays', first: 'hono' },
  { title: 'Express, bare', turn: 'express' },
  { title: 'Express, Onceward', turn: 'express-onceward', first: 'express' },
  { title: 'Express, Onceward on Redis', turn: 'express-redis-onceward', first: 'express', redis: true },
  { title: 'Express, @node-idempotency/core', turn: 'node-idempotency', first: 'express', redis: true },
  { title: 'Express, express-idempotency', turn: 'express-idempotency', first: 'express', redis: true },
  { title: 'a function, Onceward', turn: 'onceward' },
  { title: 'a function, powertools idempotency', turn: 'powertools', first: 'onceward', redis: true },
]

async function measure(scale: Scale, directory: string): Promise<Report> {
  const size = sizes[scale]
  const fingerprints = await fingerprintCpu(size, size.fingerprints)
  const streams: StreamMemory[] = []
  for (let round = 0; round < size.streams; round += 1) streams.push(await streamMemory(size.streamBytes, { directory, round }))
  const redis = await startDurableRedis()
  try {
    const rounds = await raced(size, { directory, redis })
    return {
      notes: notesOn(size, redis),
      table: tableOf(rounds),
      targets: [...targetsOf(rounds), ...targetsBeside(fingerprints, streams, size)],
    }
  } finally {
    await redis?.stop()
  }
}

type Run = (round: number) => Promise<Numbers>

interface Surroundings {
  readonly directory: string
  readonly redis: DurableRedis | undefined
}

async function raced(size: Sizes, { directory, redis }: Surroundings): Promise<readonly Round[]> {
  const load = new Child<LoadApi>('load')
  const stops: (() => Promise<void>)[] = [() => load.stop()]
  const turns: Partial<Record<Turn, Run>> = {}
  const started = <Api extends ServerApi | FunctionApi>(child: Child<Api>): Child<Api> => {
    stops.push(() => child.stop())
    return child
  }
  try {
    for (const { turn, redis: needed } of rows) {
      const place = needed === true ? redis?.url : join(directory, `${turn}.db`)
      if (place === undefined || isReplays(turn)) continue
      const run = isLibrary(turn)
        ? await functionTurn(started(new Child<FunctionApi>('function', turn, place)), size.requests)
        : await serverTurn(
            turn,
            new ServerUnderLoad(started(new Child<ServerApi>('http', turn, place)), { load, ...size }),
            turns,
          )
      turns[turn] = needed === true && redis !== undefined ? weighed(run, redis, size.requests) : run
    }
    return await interleaved<Turn, Numbers>(size, turns as Record<Turn, Run>)
  } finally {
    await Promise.all(stops.map((stop) => stop()))
  }
}

async function serverTurn(turn: Contestant, server: ServerUnderLoad, turns: Partial<Record<Turn, Run>>): Promise<Run> {
  if (!isBare(turn)) {
    // The series that the first round replays; for all it shows that they have their replays.
    await server.send(0)
    await server.checkReplay(0, turn.endsWith('-onceward'))
    await server.replay(0)
  }
  if (turn === 'fastify-onceward' || turn === 'hono-onceward')
    turns[`${turn}-replays`] = async (round) => numbersOf(await server.replay(round))
  return async (round) => numbersOf(await server.send(round + 1))
}

/** The same, with what it costs Redis. */
function weighed(run: Run, redis: DurableRedis, requests: number): Run {
  return async (round) => {
    const before = await redis.cpuUs()
    const numbers = await run(round)
    return { ...numbers, storeCpu: ((await redis.cpuUs()) - before) / requests }
  }
}

async function functionTurn(child: Child<FunctionApi>, operations: number): Promise<Run> {
  const run = (series: number, replay: boolean): Promise<Sample> => child.ask('run', { series, operations, replay })
  await run(0, false)
  await run(0, true)
  return async (round) => {
    const sample = await run(round + 1, false)
    return { perSecond: perSecond(sample), cpu: cpuPerOperation(sample) }
  }
}

function numbersOf(served: Served): Numbers {
  return { perSecond: served.requestsPerSecond, cpu: served.cpuPerRequest, served }
}

function isReplays(turn: Turn): turn is `${Contestant}-replays` {
  return turn.endsWith('-replays')
}

function isLibrary(turn: Contestant | Library): turn is Library {
  return turn === 'onceward' || turn === 'powertools'
}

function isBare(turn: Contestant): boolean {
  return turn === 'fastify' || turn === 'hono' || turn === 'express'
}

function notesOn({ requests, measured }: Sizes, redis: DurableRedis | undefined): string[] {
  return [
    `${measured} rounds of ${requests} requests to each server, which is a process of its own, as is the load (autocannon);`,
    'every answer was 2xx, and every handler ran once for each of its keys; ratios are to the first of each group',
    redis === undefined
      ? 'the other libraries were not run: there is no redis-server in PATH'
      : 'the other libraries on a Redis of their own with appendfsync always: what it has acknowledged is on the disk, as with Onceward',
  ]
}

function tableOf(rounds: readonly Round[]): Report['table'] {
  return {
    columns: ['', '/s', 'of the first', 'CPU µs', 'over the first', 'its Redis', 'p50 ms', 'p99 ms', 'client CPU'],
    rows: rows.map((row) => cellsOf(row, rounds)),
  }
}

function cellsOf({ title, turn, first }: Row, rounds: readonly Round[]): string[] {
  if (rounds.some((round) => round[turn] === undefined)) return [title, 'not run: no redis-server here']
  const middle = (values: readonly number[]): string => (values.length === 0 ? '' : short(median(values)))
  const own = (of: (numbers: Numbers) => number): string => middle(rounds.map((round) => of(numbersIn(round, turn))))
  const against = (of: (ours: Numbers, theirs: Numbers) => number): string =>
    first === undefined ? '' : middle(compared(rounds, { turn, first, of }))
  const network = (of: (served: Served) => number): string => middle(rounds.flatMap((round) => round[turn]?.served ?? []).map(of))
  return [
    title,
    own((numbers) => numbers.perSecond),
    against((ours, theirs) => ours.perSecond / theirs.perSecond),
    own((numbers) => numbers.cpu),
    against((ours, theirs) => ours.cpu - theirs.cpu),
    middle(rounds.flatMap((round) => round[turn]?.storeCpu ?? [])),
    network((served) => served.p50),
    network((served) => served.p99),
    network((served) => (served.clientCpuUs / served.wallMs) * 0.1) + (isLibrary(turn as Contestant | Library) ? '' : ' %'),
  ]
}

interface Comparison {
  readonly turn: Turn
  readonly first: Turn
  readonly of: (ours: Numbers, theirs: Numbers) => number
}

/** Of each round, since a machine that slows down slows both. */
function compared(rounds: readonly Round[], { turn, first, of }: Comparison): number[] {
  return rounds.map((round) => of(numbersIn(round, turn), numbersIn(round, first)))
}

function numbersIn(round: Round, turn: Turn): Numbers {
  const numbers = round[turn]
  if (numbers === undefined) throw new Error(`${turn} was not run`)
  return numbers
}

function targetsOf(rounds: readonly Round[]): Target[] {
  const faster = (ours: Numbers, theirs: Numbers): number => ours.perSecond / theirs.perSecond
  const doors = (['fastify', 'hono'] as const).flatMap((first) => {
    const turn = `${first}-onceward` as const
    const replays = `${turn}-replays` as const
    return [
      target(`${first}: throughput, of bare`, compared(rounds, { turn, first, of: faster }), { atLeast: 0.55 }),
      target(
        `${first}: server CPU a request over bare`,
        compared(rounds, { turn, first, of: (ours, theirs) => ours.cpu - theirs.cpu }),
        { atMost: 60, unit: ' µs' },
      ),
      target(
        `${first}: server CPU of a replay, of bare`,
        compared(rounds, { turn: replays, first, of: (ours, theirs) => ours.cpu / theirs.cpu }),
        { atMost: 1.15 },
      ),
    ]
  })
  const races = rows
    .filter(
      ({ turn, redis }) =>
        redis === true && turn !== 'express-redis-onceward' && rounds.every((round) => round[turn] !== undefined),
    )
    .map(({ title, turn: first }) => {
      const turn = first === 'powertools' ? 'onceward' : 'express-onceward'
      return target(`throughput, of ${title}`, compared(rounds, { turn, first, of: faster }), { atLeast: 1 })
    })
  return [...doors, ...races]
}

function targetsBeside(fingerprints: readonly number[], streams: readonly StreamMemory[], { streamBytes }: Sizes): Target[] {
  const more = streams.map(({ bare, onceward }) => (onceward - bare) / 1_048_576)
  return [
    target('CPU of the fingerprint of 1 KiB of JSON', fingerprints, { atMost: 30, unit: ' µs' }),
    target(`more memory for a streamed answer of ${streamBytes / 1_048_576} MiB`, more, { atMost: 16, unit: ' MiB' }),
  ]
}
