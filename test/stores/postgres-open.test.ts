import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { suite, test, type TestContext } from 'node:test'
import { onceward } from '../../src/index.ts'
import { postgres, type PostgresOptions } from '../../src/stores/postgres.ts'
import type { Guarantee } from '../../src/core/store.ts'
import { freePort } from '../../scripts/servers/server.ts'
import { claimOf } from './store-support.ts'
import { claimed, opened, poolOf, serverFor } from './postgres-support.ts'

const { server, skip } = await serverFor()
const fresh = async (): Promise<string> => (await server?.database()) ?? ''
const databaseOf = (url: string): string => url.split('/').at(-1) ?? ''

/** The error with which a store fails to open, which must be one that callers can tell. */
async function refusalOf(t: TestContext, url: string, options: PostgresOptions = {}): Promise<string> {
  const pool = poolOf(url)
  t.after(async () => pool.end())
  const store = postgres(pool, options)
  const error = await store.open().catch((refused: unknown) => refused)
  assert.ok(error instanceof Error && error.name === 'StoreOpenError', String(error))
  await store.close()
  return error.message
}

async function guaranteeOf(t: TestContext, url: string): Promise<Guarantee> {
  return (await opened(t, url)).guarantee
}

/** What the server's settings are while `check` runs. */
async function withSettings(settings: Readonly<Record<string, string>>, check: () => Promise<void>): Promise<void> {
  try {
    for (const [name, value] of Object.entries(settings)) await server?.query(`ALTER SYSTEM SET ${name} = '${value}'`)
    await reloaded()
    await check()
  } finally {
    await server?.query('ALTER SYSTEM RESET ALL')
    await reloaded()
  }
}

async function reloaded(): Promise<void> {
  await server?.query('SELECT pg_reload_conf()')
  await new Promise((resolve) => setTimeout(resolve, 200))
}

suite('opening Postgres', { skip }, () => {
  test('a server that cannot be reached, or refuses the user, is an error that says what to look at', async (t) => {
    const url = await fresh()
    assert.match(await refusalOf(t, `postgres://postgres@127.0.0.1:${await freePort()}/db`), /ECONNREFUSED.*that the server runs/)
    assert.match(await refusalOf(t, `${url}_not_there`), /does not exist.*create the database/)
    assert.match(await refusalOf(t, server?.url(databaseOf(url), 'stranger') ?? ''), /stranger.*check the user/)
    await server?.query("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    const [row] = (await server?.query('SHOW hba_file')) ?? []
    const file = String(row?.['hba_file'])
    await writeFile(file, `host all guarded 127.0.0.1/32 scram-sha-256\n${await readFile(file, 'utf8')}`)
    await reloaded()
    const wrong = url.replace('postgres@', 'guarded:wrong@')
    assert.match(await refusalOf(t, wrong), /password authentication failed.*check the user and the password/)
  })

  test('a user who may not create tables, or not write to them, is told what to grant', async (t) => {
    const url = await fresh()
    await server?.query('CREATE ROLE reader LOGIN')
    const asReader = server?.url(databaseOf(url), 'reader') ?? ''
    assert.match(await refusalOf(t, asReader), /permission denied.*GRANT CREATE on the schema/)
    await opened(t, url)
    await server?.query('GRANT SELECT ON onceward, onceward_steps, onceward_schema TO reader', url)
    assert.match(await refusalOf(t, asReader), /lacks .*INSERT on "onceward".*GRANT it/)
    await server?.query('GRANT INSERT, UPDATE, DELETE ON onceward, onceward_steps TO reader', url)
    const store = await opened(t, asReader)
    assert.equal(await claimed(store, claimOf('one')), 'claimed')
  })

  test("tables that are not Onceward's are left as they are", async (t) => {
    const url = await fresh()
    for (const [name, made] of [
      ['a', 'a (id integer)'],
      ['b', 'b_steps (id integer)'],
      ['c', 'c_schema (version integer)'],
      ['d', 'd_schema (version integer, readable_by integer)'],
    ] as const) {
      await server?.query(`CREATE TABLE ${made}`, url)
      assert.match(await refusalOf(t, url, { table: name }), /not Onceward's.*give another name as 'table'/)
    }
    const tables = await server?.query("SELECT count(*)::integer AS count FROM pg_tables WHERE schemaname = 'public'", url)
    assert.deepEqual(tables, [{ count: 4 }])
  })

  test('tables of a newer version are read only if that version allows it', async (t) => {
    const url = await fresh()
    await opened(t, url)
    await server?.query('UPDATE onceward_schema SET version = 7', url)
    await opened(t, url)
    await server?.query('UPDATE onceward_schema SET readable_by = 7', url)
    assert.match(await refusalOf(t, url), /newer version of Onceward \(schema 7, this one knows 1\): upgrade/)
  })

  test("with migrate: 'never' nothing is created, and the SQL that is shown makes the tables", async (t) => {
    const url = await fresh()
    await server?.query('CREATE SCHEMA "App"', url)
    const options = { table: 'Select', schema: 'App', migrate: 'never' } as const
    const shown = await refusalOf(t, url, options)
    await server?.query(shown.slice(shown.indexOf('\n')), url)
    const store = await opened(t, url, options)
    assert.equal(await claimed(store, claimOf('one')), 'claimed')
    const places = await server?.query("SELECT tablename FROM pg_tables WHERE schemaname = 'App' ORDER BY 1", url)
    assert.deepEqual(
      places?.map(({ tablename }) => tablename),
      ['Select', 'Select_schema', 'Select_steps'],
    )
  })

  test('a database that takes no writes, and a search path without a schema, are told apart from others', async (t) => {
    const url = await fresh()
    await server?.query(`ALTER DATABASE ${databaseOf(url)} SET default_transaction_read_only = on`)
    assert.match(await refusalOf(t, url), /takes no writes.*give the primary/)
    const other = await fresh()
    await server?.query(`ALTER DATABASE ${databaseOf(other)} SET search_path = nowhere`)
    assert.match(await refusalOf(t, other), /names no schema that there is/)
    assert.match(await refusalOf(t, other, { schema: 'nowhere' }), /schema "nowhere" does not exist.*create the schema/)
  })

  test('many that open a fresh database at once all find one schema', async (t) => {
    for (const isolation of ['read committed', 'serializable']) {
      const url = await fresh()
      await server?.query(`ALTER DATABASE ${databaseOf(url)} SET default_transaction_isolation = '${isolation}'`)
      const stores = await Promise.all(Array.from({ length: 12 }, async () => opened(t, url)))
      const states = await Promise.all(stores.map(async (store) => claimed(store, claimOf('one'))))
      assert.equal(states.filter((state) => state === 'claimed').length, 1)
    }
  })

  test('the guarantee follows from the settings in force on the server, the database and the table', async (t) => {
    const url = await fresh()
    const usual = await guaranteeOf(t, url)
    assert.equal(usual.tier, 'atomic')
    assert.match(usual.reason, /fsync=on, synchronous_commit=on.*no replica is waited for/)
    await withSettings({ fsync: 'off' }, async () => {
      assert.match(JSON.stringify(await guaranteeOf(t, url)), /best-effort.*fsync=off/)
    })
    await withSettings({ full_page_writes: 'off' }, async () => {
      assert.match(JSON.stringify(await guaranteeOf(t, url)), /best-effort.*full_page_writes=off/)
    })
    await withSettings({ synchronous_standby_names: 'one' }, async () => {
      assert.match(JSON.stringify(await guaranteeOf(t, url)), /atomic.*on the disk of the synchronous replicas \(one\)/)
    })
    const hasty = await fresh()
    await server?.query(`ALTER DATABASE ${databaseOf(hasty)} SET synchronous_commit = off`)
    assert.match(JSON.stringify(await guaranteeOf(t, hasty)), /best-effort.*synchronous_commit=off/)
    await server?.query('ALTER TABLE onceward SET UNLOGGED', url)
    assert.match(JSON.stringify(await guaranteeOf(t, url)), /best-effort.*UNLOGGED/)
  })

  test('a store that failed to open opens when the reason is gone, and calls before that say so', async (t) => {
    const url = await fresh()
    await server?.query(`ALTER DATABASE ${databaseOf(url)} SET default_transaction_read_only = on`)
    const pool = poolOf(url)
    t.after(async () => pool.end())
    const store = postgres(pool)
    const once = onceward({ store })
    await assert.rejects(store.claim([claimOf('one')]), { name: 'StoreOpenError', message: /call open/ })
    await assert.rejects(once.open(), { name: 'StoreOpenError' })
    await server?.query(`ALTER DATABASE ${databaseOf(url)} RESET default_transaction_read_only`)
    await server?.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${databaseOf(url)}'`)
    while (pool.totalCount > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    await once.open()
    assert.equal(await once.run({ scope: 's', name: 'n', key: 'k', input: 1 }, () => 'done'), 'done')
    await once.close()
  })
})
