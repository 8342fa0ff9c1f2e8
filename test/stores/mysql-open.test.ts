import assert from 'node:assert/strict'
import { after, before, suite, test, type TestContext } from 'node:test'
import { createConnection, createPool, createPoolCluster, type Pool } from 'mysql2'
import { freePort } from '../../scripts/servers/server.ts'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import { OptionsError, StoreOpenError } from '../../src/core/errors.ts'
import { mysql, type MysqlOptions, type MysqlPool } from '../../src/stores/mysql.ts'
import { openedOn, poolFor, pretending } from './mysql-support.ts'
import { answersOf, claimOf } from './store-support.ts'

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb(['--log-bin', '--server-id=1'])
})
after(async () => server?.stop())

/** The message with which a store does not open. */
async function refusalOf(pool: MysqlPool, options: MysqlOptions = {}): Promise<string> {
  const error: unknown = await mysql(pool, options)
    .open()
    .then(
      () => assert.fail('it opens'),
      (reason: unknown) => reason,
    )
  assert.ok(error instanceof StoreOpenError, String(error))
  return error.message
}

async function guaranteeWith(t: TestContext, settings: Readonly<Record<string, string>>): Promise<readonly [string, string]> {
  const store = mysql(pretending(poolFor(t, await server.database()), settings))
  await store.open()
  return [store.guarantee.tier, store.guarantee.reason]
}

test('the MySQL store takes pools, of either kind, and says what else it was given', () => {
  const pool: Pool = createPool({ host: '127.0.0.1' })
  assert.equal(mysql(pool).name, 'mysql')
  assert.equal(mysql(pool.promise()).name, 'mysql')
  pool.end()
  const connection = { query: async () => [], release: () => {}, destroy: () => {} }
  const cluster = createPoolCluster()
  for (const [client, message] of [
    [connection, /single connection/],
    [cluster, /cluster of pools/],
    [{}, /not a pool/],
    ['mysql://root@localhost', /not a pool/],
    [null, /not a pool/],
  ] as const)
    assert.throws(() => Reflect.apply(mysql, undefined, [client]), { name: 'OptionsError', message })
  cluster.end()
  assert.equal(typeof createConnection, 'function')
})

test('a name of a table that would have to be quoted, and a wrong migrate or callTimeout, are refused by the MySQL store', () => {
  const pool: MysqlPool = { getConnection: () => Promise.reject(new Error('not asked')) }
  for (const table of ['', '1st', 'a b', 'a`b', "a'; --", 'a.b', 'ä', 'x'.repeat(41)])
    assert.throws(() => mysql(pool, { table }), OptionsError, table)
  assert.throws(() => Reflect.apply(mysql, undefined, [pool, { migrate: 'maybe' }]), OptionsError)
  assert.throws(() => mysql(pool, { callTimeout: 0 }), OptionsError)
})

test('a MySQL server that cannot be reached, and one that does not answer, are told as such', async () => {
  const pool = createPool({ host: '127.0.0.1', port: await freePort(), user: 'root' })
  assert.match(await refusalOf(pool.promise()), /ECONNREFUSED.*check that the server runs/)
  pool.end()
  const silent: MysqlPool = { getConnection: () => new Promise(() => {}) }
  assert.match(await refusalOf(silent, { callTimeout: 50 }), /no answer of the database within 50 ms/)
})

test('a client that answers otherwise than mysql2 is told as such', async () => {
  const connection = { query: async () => [{ version: 1 }], execute: async () => [], release: () => {}, destroy: () => {} }
  await assert.rejects(mysql({ getConnection: async () => connection }).open(), {
    name: 'OptionsError',
    message: /not as mysql2/,
  })
})

suite('opening on MariaDB', { skip }, () => {
  test('wrong credentials, a database that is missing or not named, and missing rights each name their remedy', async (t) => {
    const database = await server.database()
    await server.root(`CREATE USER 'reader'@'%'`)
    await server.root(`GRANT SELECT ON ${database.name}.* TO 'reader'@'%'`)
    for (const [options, message] of [
      [{ password: 'wrong' }, /Access denied.*password is wrong/],
      [{ user: 'reader' }, /command denied.*grant it CREATE, SELECT, INSERT, UPDATE and DELETE/],
      [{ user: 'reader', database: 'mysql' }, /no right to this database/],
      [{ database: 'missing' }, /Unknown database.*create it/],
      [{ database: '' }, /No database selected.*give createPool a 'database'/],
    ] as const)
      assert.match(await refusalOf(poolFor(t, database, options)), message)
    await openedOn(t, database)
    assert.match(await refusalOf(poolFor(t, database, { user: 'reader' })), /DELETE command denied/)
  })

  test('a table of that name that is not of Onceward, and one of an engine without transactions, are left alone', async (t) => {
    for (const [sql, message] of [
      ['CREATE TABLE onceward (id INT)', /a table 'onceward' that is not Onceward's/],
      ['CREATE TABLE onceward_schema (id INT)', /a table 'onceward_schema' that is not Onceward's/],
    ] as const) {
      const pool = poolFor(t, await server.database())
      await pool.query(sql)
      assert.match(await refusalOf(pool), message)
      const [tables] = await pool.query('SHOW TABLES')
      assert.ok(Array.isArray(tables) && tables.length === 1, 'nothing was created beside it')
    }
    const database = await server.database()
    await (await openedOn(t, database)).close()
    const pool = poolFor(t, database)
    await pool.query('ALTER TABLE onceward ENGINE=MyISAM')
    assert.match(await refusalOf(pool), /engine myisam/)
    await mysql(pool, { table: 'another' }).open()
  })

  test('a MySQL schema that a newer version wrote is read if it says so, and refused if not', async (t) => {
    const database = await server.database()
    await openedOn(t, database)
    const pool = poolFor(t, database)
    await pool.query('UPDATE onceward_schema SET version = 7')
    await mysql(pool).open()
    await pool.query('UPDATE onceward_schema SET readable_by = 2')
    assert.match(await refusalOf(pool), /newer version of Onceward \(schema 7, this one knows 1\): upgrade/)
  })

  test("with migrate 'never' the MySQL store creates nothing, and shows the SQL that creates what it needs", async (t) => {
    const pool = poolFor(t, await server.database(), { multipleStatements: true })
    const message = await refusalOf(pool, { migrate: 'never', table: 'Kept_1' })
    const sql = message.slice(message.indexOf('\n'))
    assert.deepEqual((await pool.query('SHOW TABLES'))[0], [])
    await pool.query(sql)
    const store = mysql(pool, { migrate: 'never', table: 'Kept_1' })
    await store.open()
    assert.deepEqual(await answersOf(store, [claimOf('k')]), ['claimed'])
  })

  test("a table of the MySQL store may be called by a word of SQL's own", async (t) => {
    const pool = poolFor(t, await server.database())
    for (const table of ['select', 'table', '_']) {
      const store = mysql(pool, { table })
      await store.open()
      assert.deepEqual(await answersOf(store, [claimOf('k')]), ['claimed'], table)
    }
  })

  test('a read-only server, an old one, and a session that commits nothing or refuses updates do not open', async (t) => {
    const pool = poolFor(t, await server.database())
    await mysql(pool).open()
    for (const [settings, message] of [
      [{ version: '10.5.9-MariaDB' }, /MariaDB 10.6 or MySQL 8.0 is needed/],
      [{ version: '5.7.44' }, /MariaDB 10.6 or MySQL 8.0 is needed/],
      [{ autocommit: 'OFF' }, /autocommit off/],
      [{ sql_safe_updates: 'ON' }, /sql_safe_updates on/],
    ] as const)
      assert.match(await refusalOf(pretending(pool, settings)), message)
    const database = await server.database()
    await openedOn(t, database)
    await server.root(`CREATE USER 'writer'@'%'`)
    await server.root(`GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON *.* TO 'writer'@'%'`)
    await server.root('SET GLOBAL read_only = ON')
    try {
      assert.match(await refusalOf(poolFor(t, database, { user: 'writer' })), /read-only.*primary/)
    } finally {
      await server.root('SET GLOBAL read_only = OFF')
    }
  })

  test('the guarantee of MySQL is that of the settings in force, in words', async (t) => {
    const durable = { innodb_flush_log_at_trx_commit: '1', log_bin: 'ON', sync_binlog: '1', wsrep_on: 'OFF' }
    const [tier, reason] = await guaranteeWith(t, durable)
    assert.deepEqual([tier, /sync_binlog=1.*failover to a replica.*lost/.test(reason)], ['atomic', true], reason)
    for (const [settings, word] of [
      [{ ...durable, innodb_flush_log_at_trx_commit: '2' }, 'innodb_flush_log_at_trx_commit=2'],
      [{ ...durable, innodb_flush_log_at_trx_commit: '0' }, 'innodb_flush_log_at_trx_commit=0'],
      [{ ...durable, sync_binlog: '0' }, 'sync_binlog=0'],
      [{ ...durable, wsrep_on: 'ON' }, 'Galera'],
    ] as const) {
      const [less, why] = await guaranteeWith(t, settings)
      assert.deepEqual([less, why.includes(word)], ['best-effort', true], why)
    }
    assert.match((await guaranteeWith(t, { ...durable, rpl_semi_sync_master_enabled: 'ON' }))[1], /semi-synchronous/)
    // The server's own: the binary log is on here, and not synced by default.
    const store = await openedOn(t, await server.database())
    assert.deepEqual([store.guarantee.tier, store.guarantee.reason.includes('sync_binlog=0')], ['best-effort', true])
  })

  test('connections of a server that says it is MySQL are told once to wait a second at most for a lock', async (t) => {
    const pool = poolFor(t, await server.database(), { connectionLimit: 1 })
    const store = mysql(pretending(pool, { version: '8.0.36' }))
    await store.open()
    const heard = async (): Promise<readonly unknown[]> => {
      const [rows] = await pool.query("SHOW SESSION STATUS LIKE 'Com_set_option'")
      const [wait] = await pool.query('SELECT @@innodb_lock_wait_timeout AS seconds')
      return [Object(rows)[0].Value, Object(wait)[0].seconds]
    }
    assert.deepEqual(await answersOf(store, [claimOf('k')]), ['claimed'])
    const [times, seconds] = await heard()
    assert.equal(seconds, 1)
    assert.deepEqual(await answersOf(store, [claimOf('l')]), ['claimed'])
    assert.deepEqual(await heard(), [times, 1])
  })

  test('a MySQL store that did not open can be opened again once the reason is gone', async (t) => {
    const database = await server.database()
    const pool = poolFor(t, database)
    await pool.query('CREATE TABLE onceward (id INT)')
    const store = mysql(pool)
    await assert.rejects(store.open(), StoreOpenError)
    await assert.rejects(store.claim([claimOf('k')]), StoreOpenError)
    await pool.query('DROP TABLE onceward')
    await store.open()
    assert.deepEqual(await answersOf(store, [claimOf('k')]), ['claimed'])
  })
})
