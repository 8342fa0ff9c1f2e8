import assert from 'node:assert/strict'
import { after, before, suite, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool, PoolConnection, PoolOptions } from 'mysql2/promise'
import { onceward, refusal, type AtomicOnce, type OncewardEvent, type OncewardOptions } from '../../src/index.ts'
import { mysql, type MysqlPool } from '../../src/stores/mysql.ts'
import { hasMariadb, notRun, startMariadb, type Mariadb, type MariadbDatabase } from '../../scripts/servers/mariadb.ts'
import { poolFor, pretending } from './mysql-support.ts'

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => server?.stop())

const order = { scope: 'acme', name: 'order', key: 'k-1' } as const
const never = (): never => assert.fail('it ran')

interface Shop {
  readonly database: MariadbDatabase
  readonly pool: Pool
  readonly once: AtomicOnce<PoolConnection>
  readonly events: OncewardEvent[]
  readonly items: () => Promise<readonly string[]>
}

/** A database with a table of orders, and an engine on it. */
async function shop(t: TestContext, options: Partial<OncewardOptions> = {}, poolOptions: PoolOptions = {}): Promise<Shop> {
  const database = await server.database()
  const pool = poolFor(t, database, poolOptions)
  await pool.query('CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, item VARCHAR(40))')
  const events: OncewardEvent[] = []
  const once = await engineOn(t, pool, { onEvent: (event) => void events.push(event), ...options })
  return { database, pool, once, events, items: async () => itemsOf(pool) }
}

async function engineOn<Connection extends PoolConnection>(
  t: TestContext,
  pool: MysqlPool<Connection>,
  options: Partial<OncewardOptions> = {},
): Promise<AtomicOnce<Connection>> {
  const once = onceward({ wait: '20s', ...options, store: mysql(pool) })
  t.after(async () => once.close())
  await once.open()
  return once
}

async function itemsOf(pool: Pool): Promise<readonly string[]> {
  const [rows] = await pool.query('SELECT item FROM orders ORDER BY id')
  assert.ok(Array.isArray(rows))
  return rows.map((row) => String(Object(row)['item']))
}

const add = async (tx: PoolConnection, item: string): Promise<unknown> => tx.query('INSERT INTO orders (item) VALUES (?)', [item])
const codeOf = (error: unknown): unknown => Object(error)['code']

suite('a transaction on MariaDB by mysql2', { skip }, () => {
  test('on MariaDB commits the effect and the outcome together, once', async (t) => {
    const { once, pool, items } = await shop(t)
    const work = async ({ tx, number }: { tx: PoolConnection; number: number }): Promise<object> => {
      await add(tx, 'book')
      assert.deepEqual(await itemsOf(pool), [], 'nobody sees it yet')
      return { item: 'book', number }
    }
    const input = { item: 'book' }
    assert.deepEqual(await once.transaction({ ...order, input }, work), { item: 'book', number: 1 })
    const again = await once.tryTransaction({ ...order, input }, never)
    assert.deepEqual(again, { state: 'completed', value: { item: 'book', number: 1 }, replayed: true })
    assert.deepEqual(await once.run({ ...order, input }, never), { item: 'book', number: 1 }, 'whoever asks')
    assert.deepEqual(await once.tryTransaction({ ...order, input: 'other' }, never), { state: 'mismatch' })
    assert.deepEqual(await items(), ['book'])
  })

  test('on MariaDB costs two statements over a bare one, and gives the session back as it was', async (t) => {
    const database = await server.database()
    const pool = poolFor(t, database, { connectionLimit: 1 })
    await pool.query('CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, item VARCHAR(40))')
    const once = await engineOn(t, pool)
    const settings =
      'SELECT @@idle_transaction_timeout AS idle, @@max_statement_time AS statement, @@innodb_lock_wait_timeout AS wait'
    const [before_] = await pool.query(settings)
    const questions = async (): Promise<number> => {
      const [rows] = await pool.query("SHOW SESSION STATUS LIKE 'Questions'")
      assert.ok(Array.isArray(rows))
      return Number(Object(rows[0])['Value'])
    }
    const start = await questions()
    await once.transaction(order, async ({ tx }) => add(tx, 'book').then(() => 'done'))
    assert.equal((await questions()) - start - 1, 5, 'begin, look, effect, outcome, commit')
    await assert.rejects(once.transaction({ ...order, key: 'k-2' }, async () => Promise.reject(new Error('no'))))
    const [after_] = await pool.query(settings)
    assert.deepEqual(after_, before_)
  })

  test('on MariaDB is rolled back by a refusal, which is kept; by any other throw, and forgotten', async (t) => {
    const { once, items, events } = await shop(t)
    const refusing = async ({ tx }: { tx: PoolConnection }): Promise<never> => {
      await add(tx, 'book')
      throw refusal(422, 'sold out', { item: 'book' })
    }
    await assert.rejects(once.transaction(order, refusing), { code: 'refused', message: 'sold out' })
    await assert.rejects(once.transaction(order, never), { code: 'refused', details: { item: 'book' } })
    const other = { ...order, key: 'k-2' }
    const failing = async ({ tx }: { tx: PoolConnection }): Promise<never> => {
      await add(tx, 'book')
      throw new Error('no')
    }
    await assert.rejects(once.transaction(other, failing), { message: 'no' })
    assert.deepEqual(await once.peek(other), { state: 'absent' })
    assert.deepEqual(await items(), [])
    await once.transaction({ ...other, input: 'another' }, async ({ tx }) => add(tx, 'pen').then(() => null))
    assert.deepEqual(await items(), ['pen'])
    const types = events.filter((event) => 'key' in event && event.key === 'k-2').map(({ type }) => type)
    assert.deepEqual(types, ['claimed', 'interrupted', 'claimed', 'completed'])
  })

  test('on MariaDB runs once for a hundred callers of two instances, who all get its value', async (t) => {
    const { once, database, items } = await shop(t)
    const other = await engineOn(t, poolFor(t, database))
    const call = async (each: AtomicOnce<PoolConnection>): Promise<string> =>
      each.transaction(order, async ({ tx }) => {
        await add(tx, 'book')
        await sleep(20)
        return 'done'
      })
    const values = await Promise.all(Array.from({ length: 100 }, async (_, index) => call(index % 2 === 0 ? once : other)))
    assert.deepEqual(new Set(values), new Set(['done']))
    assert.deepEqual(await items(), ['book'])
  })

  test('on MariaDB never joins another: who fails takes back what is their own', async (t) => {
    const { once, items } = await shop(t)
    const calls = Array.from({ length: 20 }, async (_, index) =>
      once.transaction({ ...order, key: `k-${index}` }, async ({ tx }) => {
        await add(tx, `${index}`)
        await sleep(1)
        if (index % 2 === 1) throw new Error('no')
      }),
    )
    const results = await Promise.allSettled(calls)
    assert.equal(results.filter(({ status }) => status === 'rejected').length, 10)
    assert.deepEqual(new Set(await items()), new Set(['0', '2', '4', '6', '8', '10', '12', '14', '16', '18']))
  })

  test('on MariaDB and a plain attempt of the same operation keep each other out, and takes over what one has left', async (t) => {
    const { once, database, items } = await shop(t)
    const other = await engineOn(t, poolFor(t, database))
    const started = Promise.withResolvers<void>()
    const running = once.run(order, async () => {
      started.resolve()
      await sleep(50)
      return 'by hand'
    })
    await started.promise
    assert.equal((await other.tryTransaction({ ...order, wait: 0 }, never)).state, 'busy')
    assert.equal(await other.transaction(order, never), 'by hand')
    await running
    const second = { ...order, key: 'k-2' }
    const begun = Promise.withResolvers<void>()
    const inside = once.transaction(second, async ({ tx }) => {
      await add(tx, 'book')
      begun.resolve()
      await sleep(50)
      return 'inside'
    })
    await begun.promise
    assert.equal((await other.try({ ...second, wait: 0 }, never)).state, 'busy')
    assert.equal((await other.tryTransaction({ ...second, wait: 0 }, never)).state, 'busy')
    assert.equal(await other.run(second, never), 'inside')
    await inside
    const third = { ...order, key: 'k-3' }
    await once.run(third, async () => Promise.reject(new Error('no'))).catch(() => {})
    assert.equal(await other.transaction(third, async ({ tx, number }) => add(tx, 'pen').then(() => number)), 2)
    assert.equal((await once.peek(third)).state, 'completed')
    const short = { ...order, key: 'k-4', ttl: 40 }
    await once.transaction(short, async ({ tx }) => add(tx, 'ink').then(() => null))
    await sleep(80)
    assert.equal(await once.transaction({ ...short, input: 'anew' }, async ({ number }) => number), 1)
    assert.deepEqual(await items(), ['book', 'pen', 'ink'])
  })

  test('on MariaDB that takes too long is rolled back, and what its handler does later does nothing', async (t) => {
    const { once, items } = await shop(t, { transactionTimeout: 60 })
    const late = Promise.withResolvers<unknown>()
    const work = async ({ tx }: { tx: PoolConnection }): Promise<void> => {
      await add(tx, 'book')
      await sleep(150)
      await (async () => add(tx, 'late'))().then(late.resolve, late.resolve)
    }
    await assert.rejects(once.transaction(order, work), { code: 'transaction_timeout' })
    await once.transaction({ ...order, key: 'k-2' }, async ({ tx }) => add(tx, 'pen').then(() => null))
    assert.equal(codeOf(await late.promise), 'attempt_ended')
    assert.deepEqual(await items(), ['pen'])
    assert.deepEqual(await once.peek(order), { state: 'absent' })
    await assert.rejects(
      once.transaction(order, async ({ tx }) => tx.query('SELECT SLEEP(2)')),
      { code: 'transaction_timeout' },
    )
  })

  test('on MariaDB that has ended lets nobody use its tx, nor a statement of it, nor end it from inside', async (t) => {
    const { once, items } = await shop(t)
    const kept: (() => Promise<unknown>)[] = []
    await once.transaction(order, async ({ tx }) => {
      const statement = await tx.prepare("INSERT INTO orders (item) VALUES ('stolen')")
      kept.push(
        async () => add(tx, 'stolen'),
        async () => statement.execute([]),
      )
      for (const end of [async () => tx.commit(), async () => tx.rollback(), async () => tx.query(' Rollback')])
        await assert.rejects(end, /is not the handler's/)
      await tx.query('SAVEPOINT here')
      await tx.query('ROLLBACK TO here')
    })
    await once.transaction({ ...order, key: 'k-2' }, async () => {
      for (const use of kept) await assert.rejects(use, { code: 'attempt_ended' })
    })
    assert.deepEqual(await items(), [])
  })

  test('on MariaDB inside itself is an error at once', async (t) => {
    const { once } = await shop(t)
    await assert.rejects(
      once.transaction(order, () => once.transaction(order, never)),
      { code: 'nested_run' },
    )
  })

  test('on MariaDB that the server rolls back in a deadlock is made again, whatever its handler makes of it', async (t) => {
    const { once, pool, items } = await shop(t)
    await pool.query("INSERT INTO orders (id, item) VALUES (100, 'a'), (200, 'b')")
    let deadlocks = 0
    const crossing = async (key: string, ids: readonly number[], swallow: boolean): Promise<string> => {
      let runs = 0
      const both = Promise.withResolvers<void>()
      setTimeout(both.resolve, 60)
      return once.transaction({ ...order, key }, async ({ tx }) => {
        runs += 1
        await tx.query('UPDATE orders SET item = CONCAT(item, ?) WHERE id = ?', [key, ids[0]])
        await both.promise
        try {
          await tx.query('UPDATE orders SET item = CONCAT(item, ?) WHERE id = ?', [key, ids[1]])
        } catch (cause) {
          deadlocks += 1
          if (!swallow) throw new Error('wrapped', { cause })
          await tx.query("INSERT INTO orders (item) VALUES ('outside')")
        }
        return `${key} ${runs}`
      })
    }
    for (const swallow of [false, true]) {
      const name = swallow ? 's' : 'w'
      const values = await Promise.all([crossing(`${name}x`, [100, 200], swallow), crossing(`${name}y`, [200, 100], swallow)])
      assert.deepEqual(new Set(values.map((value) => value.split(' ')[1])), new Set(['1', '2']))
    }
    assert.equal(deadlocks, 2)
    const [a, b, ...others] = await items()
    assert.deepEqual([a?.length, b?.length, others], [9, 9, []], 'each key once on each row')
  })

  test('on MariaDB that its own handler ends by a statement that commits is never run again by its call', async (t) => {
    const { once, items } = await shop(t, { wait: '200ms' })
    let runs = 0
    const result = once.tryTransaction(order, async ({ tx }) => {
      runs += 1
      await add(tx, 'book')
      await tx.query('CREATE TABLE other (id INT)')
      return 'done'
    })
    assert.equal((await result).state, 'busy', 'until its lease lapses')
    assert.deepEqual([runs, await items()], [1, ['book']])
  })

  test('on MariaDB finds what is committed, whatever the isolation level and the snapshot of its session', async (t) => {
    const { database, once } = await shop(t)
    for (const [index, level] of ['REPEATABLE READ', 'READ COMMITTED', 'SERIALIZABLE', 'READ UNCOMMITTED'].entries()) {
      const pool = poolFor(t, database, { connectionLimit: 3 })
      const other = await engineOn(t, pool)
      for (const connection of await Promise.all([1, 2, 3].map(async () => pool.getConnection()))) {
        await connection.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${level}`)
        connection.release()
      }
      const key = `k-${index}`
      await once.transaction({ ...order, key }, async ({ tx }) => add(tx, key).then(() => key))
      assert.equal(await other.transaction({ ...order, key }, never), key)
    }
  })

  test('on connections that read what is not committed the MySQL store does not open', async (t) => {
    const private_ = await startMariadb(['--transaction-isolation=READ-UNCOMMITTED'])
    t.after(async () => private_.stop())
    const pool = (await private_.database()).pool()
    t.after(async () => pool.end())
    await assert.rejects(mysql(pool).open(), { code: 'store_open_failed', message: /not committed/ })
  })

  test('on a server that says it is MySQL commits together, and leaves the wait for locks as it was', async (t) => {
    const database = await server.database()
    const pool = poolFor(t, database)
    await pool.query('CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, item VARCHAR(40))')
    const store = mysql(pretending(pool, { version: '8.0.40' }))
    const once = onceward({ store, wait: '10s' })
    t.after(async () => once.close())
    const values = await Promise.all(
      Array.from({ length: 10 }, async () =>
        once.transaction(order, async ({ tx }) => {
          await tx.query({ ...plain, sql: "INSERT INTO orders (item) VALUES ('book')" })
          return 'done'
        }),
      ),
    )
    assert.deepEqual([new Set(values), await itemsOf(pool)], [new Set(['done']), ['book']])
  })

  test('with a pool onto another database as its bridge does not open', async (t) => {
    const [one, two] = [await server.database(), await server.database()]
    await engineOn(t, poolFor(t, two))
    const once = onceward({ store: mysql(poolFor(t, one)), transactions: mysql(poolFor(t, two)).bridge })
    t.after(async () => once.close())
    await assert.rejects(once.open(), { code: 'options_invalid', message: /'mysql2' does not lead to the store's own database/ })
  })
})

const plain = { values: [], namedPlaceholders: false, rowsAsArray: false, nestTables: false, typeCast: true }
