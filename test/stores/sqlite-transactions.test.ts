import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { onceward, type AtomicOnce, type Bridge, type OncewardEvent, type OncewardOptions } from 'onceward'
import { memory } from 'onceward/memory'
import { sqlite, type SqliteDatabase, type SqliteDriver } from 'onceward/sqlite'
import { connection, drivers, newFile, tapped } from './sqlite-support.ts'
import { transactionCases, type Shop, type TransactionTap } from './transaction-cases.ts'

const order = { scope: 'acme', name: 'order', key: 'k-1' } as const
const never = (): never => assert.fail('it ran')

/** An engine on the file, closed after the test. */
async function engineOn(
  t: TestContext,
  file: string,
  options: Partial<OncewardOptions> & { driver: SqliteDriver },
): Promise<AtomicOnce<SqliteDatabase>> {
  const { driver, ...rest } = options
  const once = onceward({ wait: '5s', ...rest, store: sqlite(file, { driver }) })
  await once.open()
  t.after(async () => once.close())
  return once
}

function ordersOn(t: TestContext, file: string, driver: SqliteDriver): () => Promise<readonly string[]> {
  const database = connection(t, file, driver)
  database.exec('CREATE TABLE IF NOT EXISTS orders (item TEXT)')
  const rows = (): { item: string }[] => database.prepare('SELECT item FROM orders ORDER BY rowid').all() as { item: string }[]
  return async () => rows().map(({ item }) => item)
}

for (const { name, driver } of drivers)
  transactionCases<SqliteDatabase>({
    name,
    bridge: 'sqlite',
    transactionMs: 40,
    isSerial: true,
    commitError: () => Object.assign(new Error('disk I/O error'), { errcode: 10, code: 'SQLITE_IOERR' }),
    add: async (tx, item) => void tx.prepare('INSERT INTO orders VALUES (?)').run(item),
    steal: (tx) => {
      const statement = tx.prepare("INSERT INTO orders VALUES ('stolen')")
      return [() => statement.run(), () => tx.exec("INSERT INTO orders VALUES ('stolen')")]
    },
    shop: async (t, options = {}, tap: TransactionTap = {}): Promise<Shop<SqliteDatabase>> => {
      const file = newFile(t)
      const events: OncewardEvent[] = []
      let isOpen = false
      const told = (tell?: (sql: string) => void) => (sql: string) => void (isOpen && tell?.(sql))
      const spied = tapped(driver, { before: told(tap.before), after: told(tap.after) })
      const once = await engineOn(t, file, { onEvent: (event) => void events.push(event), ...options, driver: spied })
      isOpen = true
      const another = async (): ReturnType<Shop<SqliteDatabase>['another']> => ({ once: await engineOn(t, file, { driver }) })
      return { once, events, another, orders: ordersOn(t, file, driver) }
    },
    mismatched: async (t) => {
      const elsewhere = newFile(t)
      await engineOn(t, elsewhere, { driver })
      const other: { readonly bridge: Bridge<SqliteDatabase> } = sqlite(elsewhere, { driver })
      return onceward({ store: sqlite(newFile(t), { driver }), transactions: other.bridge })
    },
  })

test('a transaction whose turn on the file comes after its time does not begin', async (t) => {
  const store = sqlite(newFile(t), { busyTimeout: 30 })
  await store.open()
  t.after(async () => store.close())
  const bounds = { transactionMs: 1_000 }
  const first = store.bridge.transaction(async () => sleep(150), bounds)
  await assert.rejects(store.bridge.transaction(never, bounds), /in use for 30 ms; the transaction did not begin/)
  await first
  assert.equal(await store.bridge.transaction(async () => 'next', bounds), 'next')
})

test('a database in memory, which has one connection, is refused when a transaction is asked for', async () => {
  const once = onceward({ store: sqlite(':memory:') })
  await assert.rejects(once.transaction(order, never), {
    code: 'options_invalid',
    message: /nothing ran: give a file for transactions/,
  })
  await once.close()
})

test('a store that cannot be atomic is refused when a transaction is asked for, and when a bridge is given', async () => {
  const bridge: Bridge<string> = { name: 'none', transaction: never, query: never }
  assert.throws(() => onceward({ store: memory(), transactions: bridge }), {
    code: 'options_invalid',
    message: /'memory' cannot commit/,
  })
  const once = onceward({ store: memory() })
  // @ts-expect-error The type of an engine on memory has no transaction.
  const ask = (): Promise<unknown> => once.transaction(order, never)
  await assert.rejects(ask(), {
    code: 'options_invalid',
    message: /'memory' cannot commit an effect and its record together; nothing ran/,
  })
})
