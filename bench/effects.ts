import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { join } from 'node:path'
import { onceward } from 'onceward'
import { sqlite } from 'onceward/sqlite'
import { concurrently, cpuPerOperation, interleaved, median, perSecond, sampled, type Sample } from './measure.ts'
import { short, target, type Bench, type Report, type Scale } from './report.ts'
import { withDirectory } from './scratch.ts'
import { input, keyOf, outcome } from './work.ts'

/** Callers at once: they take turns on the file, with Onceward and without. */
const callers = 16

/** What it costs that an effect and its record are one commit. */
export const effects: Bench = {
  name: 'effects',
  title: `once.transaction around one insert against the same insert in a bare transaction, SQLite (synchronous=FULL), ${callers} callers`,
  run: (scale) => withDirectory((directory) => measure(scale, directory)),
}

const SETTINGS = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA wal_autocheckpoint = 16000'
const ORDERS = 'CREATE TABLE orders (id TEXT PRIMARY KEY, item TEXT NOT NULL)'
const INSERT = 'INSERT INTO orders VALUES (?, ?)'

async function measure(scale: Scale, directory: string): Promise<Report> {
  const operations = scale === 'full' ? 1_500 : 150
  const rounds = await interleaved(scale === 'full' ? { warmUp: 1, measured: 11 } : { warmUp: 1, measured: 3 }, {
    bare: (round) => bare(join(directory, `bare-${round}.db`), operations),
    transaction: (round) => withOnceward(join(directory, `onceward-${round}.db`), operations),
  })
  const row = (name: string, samples: readonly Sample[]): string[] => [
    name,
    short(median(samples.map(perSecond))),
    short(median(samples.map(cpuPerOperation))),
  ]
  const kept = rounds.map((round) => perSecond(round.transaction) / perSecond(round.bare))
  return {
    notes: [`${rounds.length} rounds of ${operations} operations, new files each; every order was counted`],
    table: {
      columns: ['', 'operations/s', 'CPU µs/operation'],
      rows: [
        row(
          'a bare transaction',
          rounds.map((round) => round.bare),
        ),
        row(
          'once.transaction',
          rounds.map((round) => round.transaction),
        ),
      ],
    },
    targets: [target('operations a second, of a bare transaction', kept, { atLeast: 0.85 })],
  }
}

/** Asynchronous as an application's code is, one transaction after the other. */
async function bare(path: string, operations: number): Promise<Sample> {
  const database = opened(path)
  const [begin, insert, commit] = ['BEGIN IMMEDIATE', INSERT, 'COMMIT'].map((sql) => database.prepare(sql)) as [
    StatementSync,
    StatementSync,
    StatementSync,
  ]
  let last: Promise<unknown> = Promise.resolve()
  const order = (id: string): Promise<unknown> => {
    const turn = last.then(async () => {
      begin.run()
      await Promise.resolve(insert.run(id, input.customer))
      commit.run()
      return outcome
    })
    last = turn
    return turn
  }
  const sample = await sampled(operations, () => concurrently(callers, operations, (index) => order(keyOf(0, index))))
  counted(database, operations)
  return sample
}

async function withOnceward(path: string, operations: number): Promise<Sample> {
  const database = opened(path)
  const once = onceward({ store: sqlite(path), wait: '1m' })
  await once.open()
  const sample = await sampled(operations, () =>
    concurrently(callers, operations, (index) => {
      const key = keyOf(0, index)
      return once.transaction({ scope: 'acme', name: 'order', key, input }, async ({ tx }) => {
        tx.prepare(INSERT).run(key, input.customer)
        return outcome
      })
    }),
  )
  await once.close()
  counted(database, operations)
  return sample
}

function opened(path: string): DatabaseSync {
  const database = new DatabaseSync(path)
  database.exec(`${SETTINGS}; ${ORDERS}`)
  return database
}

function counted(database: DatabaseSync, operations: number): void {
  const { orders } = database.prepare('SELECT count(*) AS orders FROM orders').get() as { orders: number }
  database.close()
  if (orders !== operations) throw new Error(`${operations} orders are due, and there are ${orders}`)
}
