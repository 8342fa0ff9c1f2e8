import { join } from 'node:path'
import { Child } from './child.ts'
import { HttpServer, type HttpSample } from './http-server.ts'
import { interleaved, median } from './measure.ts'
import { short, target, type Bench, type Report, type Scale, type Target } from './report.ts'
import { withDirectory } from './scratch.ts'
import { callers } from './work.ts'
import type { HttpApi } from './servers/http.ts'
import type { LoadApi } from './servers/load.ts'
import type { Place } from './servers/express.ts'

/** What a request pays for the line in front of its handler. */
export const express: Bench = {
  name: 'express',
  title: `Express with Onceward on SQLite (synchronous=FULL) against bare Express, ${callers} connections, POST of 50 bytes of JSON`,
  run: (scale) => withDirectory((directory) => measure(scale, directory)),
}

interface Sizes {
  /** Requests a contestant and round. */
  readonly requests: number
  readonly warmUp: number
  readonly measured: number
}

const sizes: Readonly<Record<Scale, Sizes>> = {
  full: { requests: 8_000, warmUp: 3, measured: 11 },
  quick: { requests: 600, warmUp: 1, measured: 3 },
}

/** Keys that are new on each server; and where there is Onceward, the keys of the round before once more. */
type Contestant = 'bare' | 'before' | 'beforeReplays' | 'behind' | 'behindReplays'

type Round = Readonly<Record<Contestant, HttpSample>>

async function measure(scale: Scale, directory: string): Promise<Report> {
  const { requests } = sizes[scale]
  const load = new Child<LoadApi>('load')
  const server = (place: Place): HttpServer =>
    new HttpServer(new Child<HttpApi>('express', place, join(directory, `${place}.db`)), load, requests)
  const servers = { bare: server('bare'), before: server('before'), behind: server('behind') }
  try {
    return reported(sizes[scale], await raced(sizes[scale], servers))
  } finally {
    await Promise.all([servers.bare.stop(), servers.before.stop(), servers.behind.stop(), load.stop()])
  }
}

async function raced(rounds: Sizes, { bare, before, behind }: Readonly<Record<Place, HttpServer>>): Promise<readonly Round[]> {
  // The series that the first round replays.
  await before.send(0)
  await behind.send(0)
  await before.checkReplay(0)
  await behind.checkReplay(0)
  return interleaved<Contestant, HttpSample>(rounds, {
    bare: (round) => bare.send(round + 1),
    before: (round) => before.send(round + 1),
    beforeReplays: (round) => before.replay(round),
    behind: (round) => behind.send(round + 1),
    behindReplays: (round) => behind.replay(round),
  })
}

function reported({ requests, measured }: Sizes, rounds: readonly Round[]): Report {
  return {
    notes: [
      `${measured} rounds of ${requests} requests to each server, which is a process of its own, as is the load (autocannon);`,
      'every answer was 2xx, and every handler ran once for each of its keys',
    ],
    table: {
      columns: ['', 'requests/s', 'of bare', 'CPU µs/request', 'over bare', 'p50 ms', 'p99 ms', 'client CPU'],
      rows: [
        row('bare', rounds, 'bare'),
        row('Onceward before express.json()', rounds, 'before'),
        row('Onceward behind express.json()', rounds, 'behind'),
        row('replays, before', rounds, 'beforeReplays'),
        row('replays, behind', rounds, 'behindReplays'),
      ],
    },
    targets: [...targets('before', rounds), ...targets('behind', rounds)],
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

function targets(place: 'before' | 'behind', rounds: readonly Round[]): Target[] {
  const replays = `${place}Replays` as const
  const against = (of: (ours: HttpSample, bare: HttpSample) => number, name: Contestant = place): number[] =>
    rounds.map((round) => of(round[name], round.bare))
  return [
    target(
      `${place}: throughput, of bare`,
      against((ours, bare) => ours.requestsPerSecond / bare.requestsPerSecond),
      { atLeast: 0.75 },
    ),
    target(
      `${place}: server CPU a request over bare`,
      against((ours, bare) => ours.cpuPerRequest - bare.cpuPerRequest),
      { atMost: 55, unit: ' µs' },
    ),
    target(
      `${place}: server CPU of a replay, of bare`,
      against((ours, bare) => ours.cpuPerRequest / bare.cpuPerRequest, replays),
      { atMost: 1.1 },
    ),
    target(
      `${place}: p99, of bare`,
      against((ours, bare) => ours.p99 / bare.p99),
      { atMost: 1.6 },
    ),
  ]
}
