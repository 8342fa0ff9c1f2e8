import { onceward } from 'onceward'
import { postgres } from 'onceward/postgres'
import { Pool } from 'pg'
import { postgresMissing, startPostgres, type PostgresServer } from '../scripts/servers/postgres.ts'
import { Child } from './child.ts'
import { cpuPerOperation, interleaved, median, perSecond, type Sample } from './measure.ts'
import { short, target, type Bench, type Report, type Scale } from './report.ts'
import { callers, handler, input } from './work.ts'
import type { LargeApi } from './servers/large.ts'

/** Whether a table that has grown is still as fast, and whether removing what has expired is in a request's way. */
export const storesLarge: Bench = {
  name: 'stores-large',
  title: `once.run on Postgres with many completed records, and while expired ones are swept, against a table with few, ${callers} callers at once`,
  run: measure,
}

interface Sizes {
  readonly few: number
  readonly many: number
  readonly expired: number
  /** Operations a round, on each. */
  readonly operations: number
  readonly warmUp: number
  readonly measured: number
}

const sizes: Readonly<Record<Scale, Sizes>> = {
  full: { few: 10_000, many: 5_000_000, expired: 1_000_000, operations: 3_000, warmUp: 2, measured: 9 },
  quick: { few: 10_000, many: 50_000, expired: 20_000, operations: 300, warmUp: 1, measured: 2 },
}

type Contestant = 'few' | 'many' | 'sweeping'
type Round = Readonly<Record<Contestant, Sample>>

async function measure(scale: Scale): Promise<Report> {
  const size = sizes[scale]
  const server = await startPostgres({ settings: ['max_wal_size=8GB'] })
  if (server === undefined) throw new Error(postgresMissing)
  try {
    const urls = {
      few: await filled(server, size.few),
      many: await filled(server, size.many),
      sweeping: await filled(server, size.few),
    }
    await addExpired(server, urls.sweeping, size.expired)
    const left = (): Promise<number> => counted(server, urls.sweeping, 'WHERE expires_at < 1000000000000')
    const children = {
      few: new Child<LargeApi>('large', urls.few),
      many: new Child<LargeApi>('large', urls.many),
      sweeping: new Child<LargeApi>('large', urls.sweeping),
    }
    try {
      const rounds = await raced(size, children)
      return reported(size, rounds, await left())
    } finally {
      await Promise.all([children.few.stop(), children.many.stop(), children.sweeping.stop()])
    }
  } finally {
    await server.stop()
  }
}

async function raced(
  { operations, warmUp, measured }: Sizes,
  children: Readonly<Record<Contestant, Child<LargeApi>>>,
): Promise<readonly Round[]> {
  return interleaved(
    { warmUp, measured },
    {
      few: (series) => children.few.ask('run', { series, operations }),
      many: (series) => children.many.ask('run', { series, operations }),
      sweeping: (series) => children.sweeping.ask('run', { series, operations }),
    },
  )
}

/** The store itself makes the tables and a first record, and the others are copies of that, with identities and times of their own. */
async function filled(server: PostgresServer, records: number): Promise<string> {
  const url = await server.database()
  const pool = new Pool({ connectionString: url, max: 2 })
  const once = onceward({ store: postgres(pool, { listen: false }) })
  await once.run({ scope: 'acme', name: 'charge', key: 'the first', input }, handler)
  await once.close()
  await pool.end()
  await copy(server, url, { copies: records - 1, agedMs: 0 })
  await server.query('VACUUM ANALYZE', url)
  return url
}

/** Records that expired long ago. */
async function addExpired(server: PostgresServer, url: string, copies: number): Promise<void> {
  await copy(server, url, { copies, agedMs: 1_700_000_000_000 })
  await server.query('VACUUM ANALYZE', url)
}

async function copy(server: PostgresServer, url: string, { copies, agedMs }: { copies: number; agedMs: number }): Promise<void> {
  const before = await counted(server, url)
  const columns = await server.query(
    "SELECT attname AS name FROM pg_attribute WHERE attrelid = 'onceward'::regclass AND attnum > 0",
    url,
  )
  const names = columns.map(({ name }) => String(name))
  const values = names.map((name) => copied(name, agedMs))
  await server.query(
    `INSERT INTO onceward (${names.join(', ')}) SELECT ${values.join(', ')}
     FROM (SELECT * FROM onceward LIMIT 1) r, generate_series(1, ${copies}) n`,
    url,
  )
  const after = await counted(server, url)
  if (after !== before + copies) throw new Error(`${before + copies} records are meant, not ${after}`)
}

/** A column of a copy: those of the time are older by so much, and spread over an hour. */
function copied(name: string, agedMs: number): string {
  if (name === 'id') return `sha256(convert_to(n::text || '-${agedMs}', 'UTF8'))`
  if (name === 'key') return `convert_to('copy-' || n, 'UTF8')`
  if (['created_at', 'lease_until', 'ended_at', 'expires_at', 'sweep_at'].includes(name))
    return `r.${name} - ${agedMs} + n % 3600000`
  return `r.${name}`
}

async function counted(server: PostgresServer, url: string, where = ''): Promise<number> {
  const [found] = await server.query(`SELECT count(*) AS count FROM onceward ${where}`, url)
  return Number(found?.['count'])
}

function reported({ few, many, expired, operations, measured }: Sizes, rounds: readonly Round[], left: number): Report {
  const share = (name: Contestant): number[] => rounds.map((round) => perSecond(round[name]) / perSecond(round.few))
  return {
    notes: [
      `${measured} rounds of ${operations} operations on each, in a process of its own for each table;`,
      `${left.toLocaleString('en-US')} of the expired records were left at the end`,
    ],
    table: {
      columns: ['', 'operations/s', 'CPU µs/operation'],
      rows: [
        row(`${few.toLocaleString('en-US')} records`, rounds, 'few'),
        row(`${many.toLocaleString('en-US')} records`, rounds, 'many'),
        row(`while ${expired.toLocaleString('en-US')} expired ones are swept`, rounds, 'sweeping'),
      ],
    },
    targets: [
      target(`${many.toLocaleString('en-US')} records: throughput, of that with few`, share('many'), { atLeast: 0.8 }),
      target('while sweeping: throughput, of that without', share('sweeping'), { atLeast: 0.8 }),
    ],
  }
}

function row(name: string, rounds: readonly Round[], contestant: Contestant): string[] {
  const middle = (of: (sample: Sample) => number): string => short(median(rounds.map((round) => of(round[contestant]))))
  return [name, middle(perSecond), middle(cpuPerOperation)]
}
