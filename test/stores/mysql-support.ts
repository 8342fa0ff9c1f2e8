import type { TestContext } from 'node:test'
import type { Pool, PoolConnection, PoolOptions } from 'mysql2/promise'
import type { MariadbDatabase } from '../../scripts/servers/mariadb.ts'
import { mysql, type MysqlOptions, type MysqlPool } from '../../src/stores/mysql.ts'
import type { Store } from '../../src/core/store.ts'

/** A pool on the database, ended after the test. */
export function poolFor(t: TestContext, database: MariadbDatabase, options: PoolOptions = {}): Pool {
  const pool = database.pool(options)
  t.after(async () => pool.end())
  return pool
}

/** An open store on a pool of its own. */
export async function openedOn(t: TestContext, database: MariadbDatabase, options: MysqlOptions = {}): Promise<Store> {
  const store = mysql(poolFor(t, database), options)
  await store.open()
  return store
}

/** A pool that answers some settings otherwise than the server. */
export function pretending(pool: Pool, settings: Readonly<Record<string, string>>): MysqlPool {
  return {
    getConnection: async () => {
      const connection = await pool.getConnection()
      return {
        connection: connection.connection,
        query: async (query) => {
          const [rows, fields] = await connection.query(query)
          if (!query.sql.startsWith('SHOW VARIABLES') || !Array.isArray(rows)) return [rows, fields]
          const others = rows.filter((row) => !(String(Object(row)['Variable_name']) in settings))
          return [[...others, ...Object.entries(settings).map(([Variable_name, Value]) => ({ Variable_name, Value }))], fields]
        },
        execute: async (statement) => connection.execute(statement),
        release: () => connection.release(),
        destroy: () => connection.destroy(),
      }
    },
  }
}

/** A transaction left open on a connection of its own, until `end` or the end of the test. */
export async function openTransaction(
  t: TestContext,
  database: MariadbDatabase,
): Promise<{ readonly connection: PoolConnection; readonly end: (how: 'COMMIT' | 'ROLLBACK') => Promise<void> }> {
  const connection = await poolFor(t, database).getConnection()
  await connection.query('START TRANSACTION')
  t.after(() => connection.destroy())
  return {
    connection,
    end: async (how) => {
      await connection.query(how)
    },
  }
}
