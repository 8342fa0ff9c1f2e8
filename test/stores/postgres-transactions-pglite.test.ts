import { PGlite, type Transaction } from '@electric-sql/pglite'
import { drizzle as drizzleOn } from 'drizzle-orm/pglite'
import { pgTable, serial, text } from 'drizzle-orm/pg-core'
import type { TestContext } from 'node:test'
import { onceward, type Bridge, type OncewardEvent } from 'onceward'
import { drizzle } from 'onceward/drizzle'
import { postgres } from 'onceward/postgres'
import { transactionCases, type TransactionSubject } from './transaction-cases.ts'

type Cases<Tx> = Pick<TransactionSubject<Tx>, 'name' | 'bridge' | 'add' | 'steal'>
type DrizzleTx = Parameters<Parameters<ReturnType<typeof drizzleOn>['transaction']>[0]>[0]

const stolen = "INSERT INTO orders (item) VALUES ('stolen')"
const orders = pgTable('orders', { id: serial().primaryKey(), item: text().notNull() })

async function databaseFor(t: TestContext): Promise<PGlite> {
  const database = new PGlite()
  await database.exec('CREATE TABLE orders (id serial PRIMARY KEY, item text NOT NULL)')
  t.after(async () => database.close())
  return database
}

/** Two engines share the one connection that there is. */
function pgliteCases<Tx>(cases: Cases<Tx>, bridgeOn: (database: PGlite) => Bridge<Tx>): void {
  transactionCases<Tx>({
    ...cases,
    transactionMs: 400,
    isSerial: true,
    commitError: undefined,
    shop: async (t, options = {}) => {
      const database = await databaseFor(t)
      const events: OncewardEvent[] = []
      const engine = (given = options) => {
        const settings = { wait: '10s', onEvent: (event: OncewardEvent) => void events.push(event), ...given } as const
        return onceward({ ...settings, store: postgres(database), transactions: bridgeOn(database) })
      }
      const once = engine()
      await once.open()
      const seen = async (): Promise<string[]> =>
        (await database.query<{ item: string }>('SELECT item FROM orders ORDER BY id')).rows.map(({ item }) => item)
      return { once, events, orders: seen, another: async () => ({ once: engine({}) }) }
    },
    mismatched: async (t) => {
      const elsewhere = await databaseFor(t)
      await onceward({ store: postgres(elsewhere) }).open()
      return onceward({ store: postgres(await databaseFor(t)), transactions: bridgeOn(elsewhere) })
    },
  })
}

pgliteCases<Transaction>(
  {
    name: 'PGlite',
    bridge: 'PGlite',
    add: async (tx, item) => void (await tx.query('INSERT INTO orders (item) VALUES ($1)', [item])),
    steal: (tx) => [async () => tx.query(stolen), async () => tx.exec(stolen)],
  },
  (database) => postgres(database).bridge,
)

pgliteCases<DrizzleTx>(
  {
    name: 'PGlite by Drizzle',
    bridge: 'drizzle',
    add: async (tx, item) => void (await tx.insert(orders).values({ item })),
    steal: (tx) => {
      const made = tx.insert(orders).values({ item: 'stolen' })
      return [async () => made, async () => tx.execute(stolen)]
    },
  },
  (database) => drizzle(drizzleOn(database)),
)
