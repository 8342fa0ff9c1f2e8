import assert from 'node:assert/strict'
import { after, before, suite, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import knexLibrary, { type Knex } from 'knex'
import type { Pool } from 'mysql2/promise'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import { onceward, refusal, type AtomicOnce } from '../../src/index.ts'
import { knex } from '../../src/bridges/knex.ts'
import { mysql } from '../../src/stores/mysql.ts'
import { Proxy } from '../faults/proxy.ts'
import { poolFor } from '../stores/mysql-support.ts'

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => server?.stop())

const order = { scope: 'acme', name: 'order', key: 'k-1' } as const
const never = (): never => assert.fail('it ran')

interface Shop {
  readonly db: Knex
  readonly pool: Pool
  readonly name: string
  readonly once: AtomicOnce<Knex.Transaction>
  readonly items: () => Promise<readonly string[]>
}

/** A database with a table of orders, Knex on it, and an engine whose transactions are Knex's. */
async function shop(t: TestContext, options: { readonly transactionTimeout?: number } = {}): Promise<Shop> {
  const database = await server.database()
  const pool = poolFor(t, database)
  const db = knexLibrary({ client: 'mysql2', connection: database.url, pool: { min: 0, max: 8 } })
  t.after(async () => db.destroy())
  await db.schema.createTable('orders', (table) => {
    table.increments('id')
    table.string('item')
  })
  const once = onceward({ store: mysql(pool), transactions: knex(db), wait: '20s', ...options })
  t.after(async () => once.close())
  await once.open()
  const items = async (): Promise<readonly string[]> =>
    (await db<{ id: number; item: string }>('orders').select('item').orderBy('id')).map(({ item }) => item)
  return { db, pool, name: database.name, once, items }
}

test('statements with numbered parameters reach Knex in the order of their text', async () => {
  const sent: unknown[] = []
  const trx = {
    raw: async (...words: unknown[]) => {
      sent.push(words)
      return { rows: [{ a: 1 }], rowCount: 1 }
    },
    on: () => {},
    rollback: () => {},
  }
  const bridge = knex({ transaction: async (work: (each: typeof trx) => Promise<never>) => work(trx) })
  assert.deepEqual(await bridge.query(trx, "SELECT $2::text, $1, $1 WHERE d ? 'x'", ['a', 'b']), [{ a: 1 }])
  assert.deepEqual(sent, [[String.raw`SELECT ?::text, ?, ? WHERE d \? 'x'`, ['b', 'a', 'a']]])
})

suite('transactions of Knex on MariaDB', { skip }, () => {
  test('a transaction of Knex commits with the outcome, once for a hundred callers', async (t) => {
    const { once, items } = await shop(t)
    const work = async ({ tx }: { tx: Knex.Transaction }): Promise<number> => {
      await sleep(10)
      const [id] = await tx('orders').insert({ item: 'book' })
      assert.ok(id)
      return id
    }
    const values = await Promise.all(Array.from({ length: 100 }, async () => once.transaction(order, work)))
    assert.deepEqual(new Set(values), new Set([1]))
    assert.deepEqual(await items(), ['book'])
    assert.equal(await once.run(order, never), 1)
  })

  test('a transaction of Knex is rolled back by a refusal, another throw and its time, and its trx is then of no use', async (t) => {
    const { once, items } = await shop(t, { transactionTimeout: 80 })
    let left: Knex.Transaction | undefined
    const after_ = (then: () => Promise<never>) => async (attempt: { tx: Knex.Transaction }) => {
      left = attempt.tx
      await attempt.tx('orders').insert({ item: 'book' })
      return then()
    }
    const refused = async (): Promise<never> => Promise.reject(refusal(422, 'sold out'))
    await assert.rejects(once.transaction(order, after_(refused)), { code: 'refused' })
    await assert.rejects(once.transaction(order, never), { code: 'refused' })
    const second = { ...order, key: 'k-2' }
    await assert.rejects(
      once.transaction(
        second,
        after_(async () => Promise.reject(new Error('no'))),
      ),
      { message: 'no' },
    )
    const slow = async (): Promise<never> => sleep(200).then(() => Promise.reject(new Error('late')))
    await assert.rejects(once.transaction(second, after_(slow)), { code: 'transaction_timeout' })
    const trx = left
    assert.ok(trx)
    await assert.rejects(async () => trx('orders').insert({ item: 'stolen' }), /already complete/)
    assert.deepEqual(await once.peek(second), { state: 'absent' })
    assert.deepEqual(await items(), [])
  })

  test('a transaction of Knex that the server rolls back in a deadlock is made again, also when its handler catches that', async (t) => {
    const { db, once, items } = await shop(t)
    await db('orders').insert([{ item: 'a' }, { item: 'b' }])
    const crossing = async (key: string, ids: readonly [number, number], swallow: boolean): Promise<void> => {
      const both = sleep(60)
      await once.transaction({ ...order, key }, async ({ tx }) => {
        await tx.raw('UPDATE orders SET item = CONCAT(item, ?) WHERE id = ?', [key, ids[0]])
        await both
        try {
          await tx.raw('UPDATE orders SET item = CONCAT(item, ?) WHERE id = ?', [key, ids[1]])
        } catch (error) {
          if (!swallow) throw error
          await tx('orders').insert({ item: 'outside' })
        }
      })
    }
    for (const swallow of [false, true])
      await Promise.all([
        crossing(`${swallow ? 's' : 'w'}x`, [1, 2], swallow),
        crossing(`${swallow ? 's' : 'w'}y`, [2, 1], swallow),
      ])
    const [a, b, ...others] = await items()
    assert.deepEqual([a?.length, b?.length, others], [9, 9, []])
  })

  test('a transaction of Knex cut at any message, with a duplicate beside it, has one effect and one answer', async (t) => {
    const { db: whole, pool, name, once: direct } = await shop(t)
    const proxy = await Proxy.before(server.port)
    const { port } = proxy
    t.after(async () => proxy.close())
    const insisted = async (each: AtomicOnce<Knex.Transaction>, key: string, begun: () => void): Promise<string> => {
      for (;;) {
        const work = async ({ tx }: { tx: Knex.Transaction }): Promise<string> => {
          begun()
          await tx('orders').insert({ item: key })
          return key
        }
        const value = await each.transaction({ ...order, key }, work).catch(() => sleep(20))
        if (value !== undefined) return value
      }
    }
    const cutAtEach = async (direction: 'up' | 'down'): Promise<void> => {
      for (let chunk = 1; ; chunk += 1) {
        const connection = { host: '127.0.0.1', port, user: 'root', database: name }
        const db = knexLibrary({ client: 'mysql2', connection, pool: { min: 0, max: 2 } })
        const once = onceward({ store: mysql(pool), transactions: knex(db), wait: '20s' })
        await once.open()
        const begun = Promise.withResolvers<void>()
        setTimeout(begun.resolve, 40)
        const key = `${direction} ${chunk}`
        proxy.cutAt(direction, chunk)
        await Promise.all([insisted(once, key, begun.resolve), begun.promise.then(async () => insisted(direct, key, () => {}))])
        assert.equal((await whole('orders').where({ item: key })).length, 1, `cut ${key}`)
        await once.close()
        await db.destroy()
        if (proxy.disarm()) return assert.ok(chunk > 5, 'begin, look, effect, outcome and commit were each cut')
        assert.ok(chunk < 100, 'a call has an end')
      }
    }
    await cutAtEach('up')
    await cutAtEach('down')
  })

  test('Knex on another database than the store is refused when it opens', async (t) => {
    const { db } = await shop(t)
    const once = onceward({ store: mysql(poolFor(t, await server.database())), transactions: knex(db) })
    t.after(async () => once.close())
    await assert.rejects(once.open(), { code: 'options_invalid', message: /'knex' does not lead to the store's own database/ })
  })
})
