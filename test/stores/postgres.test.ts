import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once as eventOf } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite, test, type TestContext } from 'node:test'
import { PGlite } from '@electric-sql/pglite'
import { Client } from 'pg'
import { postgres, type PostgresClient } from '../../src/stores/postgres.ts'
import type { Store } from '../../src/core/store.ts'
import { claimOf, completionOf, statesOf } from './store-support.ts'
import { claimed, connection, opened, poolOf, poolOn, serverFor } from './postgres-support.ts'

const { server, skip } = await serverFor()
const fresh = async (): Promise<string> => (await server?.database()) ?? ''
const lapsing = { leaseMs: 0 }
const renewalOf = ({ id, owner }: { id: string; owner: string }) =>
  ({ kind: 'renew', id, attempt: 1, owner, leaseMs: 60_000 }) as const

/** An operator's transaction that has the key's row locked. */
async function lockedBy(t: TestContext, url: string, key: string): Promise<Client> {
  const operator = await connection(t, url)
  await operator.query('BEGIN')
  const { rows } = await operator.query("SELECT 1 FROM onceward WHERE key = convert_to($1, 'UTF8') FOR UPDATE", [key])
  assert.equal(rows.length, 1)
  return operator
}

suite('the Postgres store', { skip }, () => {
  test('a row that an open transaction has locked is busy for its own claim, and holds up nobody else', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    await store.claim([claimOf('locked', lapsing), claimOf('lapsed', lapsing)])
    const operator = await lockedBy(t, url, 'locked')
    const found = await store.claim(['locked', 'lapsed', 'new'].map((key) => claimOf(key)))
    assert.deepEqual(
      found.map(({ state }) => state),
      ['busy', 'claimed', 'claimed'],
    )
    assert.equal(await claimed(store, claimOf('locked')), 'busy')
    await operator.query('ROLLBACK')
    assert.equal(await claimed(store, claimOf('locked')), 'claimed')
  })

  test('an operation that an open transaction has claimed first is busy, holds up nobody else, and is absent once rolled back', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    const operator = await connection(t, url)
    const within = postgres(poolOn(operator))
    await within.open()
    await operator.query('BEGIN')
    assert.equal(await claimed(within, claimOf('one')), 'claimed')
    const found = await store.claim([claimOf('one'), claimOf('two')])
    assert.deepEqual(
      found.map(({ state }) => state),
      ['busy', 'claimed'],
    )
    assert.equal(await claimed(store, claimOf('one')), 'busy')
    await operator.query('ROLLBACK')
    assert.equal(await claimed(store, claimOf('one')), 'claimed')
  })

  test('renewals pass by a locked row: that one is told, and the others have their leases', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    const [one, two] = [claimOf('one', { leaseMs: 1_000 }), claimOf('two', { leaseMs: 1_000 })]
    await store.claim([one, two])
    const operator = await lockedBy(t, url, 'one')
    await assert.rejects(store.settle([renewalOf(one), renewalOf(two)]), { name: 'StoreDataError' })
    assert.deepEqual(await store.settle([renewalOf(two)]), ['ok'])
    const views = await store.find([one.id, two.id])
    const leases = views.map((view) => (view?.record.leaseUntil ?? 0) - (view?.record.createdAt ?? 0) > 30_000)
    assert.deepEqual(leases, [false, true])
    await operator.query('ROLLBACK')
    assert.deepEqual(await store.settle([renewalOf(one)]), ['ok'])
  })

  test('a completion whose row is locked is unknown after a while, and accepted when it is free; the others are done', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    const [one, two] = [claimOf('one'), claimOf('two')]
    await store.claim([one, two])
    const operator = await lockedBy(t, url, 'one')
    await assert.rejects(store.settle([completionOf(one), completionOf(two)]), /locked by a transaction/)
    assert.deepEqual(await statesOf(store, [one, two]), ['running', 'completed'])
    const again = store.settle([completionOf(one), completionOf(two)])
    await sleep(50)
    await operator.query('ROLLBACK')
    assert.deepEqual(await again, ['ok', 'ok'])
  })

  test('a sweep takes other rows than the locked ones', async (t) => {
    const url = await fresh()
    const clock = { offsetMs: 0 }
    const store = await opened(t, url, { clockOffsetMs: () => clock.offsetMs })
    await store.claim(['one', 'two', 'three'].map((key) => claimOf(key)))
    clock.offsetMs = 10 * 86_400_000
    const operator = await lockedBy(t, url, 'one')
    assert.equal(await store.sweep(10), 2)
    await operator.query('ROLLBACK')
    assert.equal(await store.sweep(10), 1)
  })

  test('only the completion of an operation that a claim found busy notifies', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    const listener = await connection(t, url)
    const heard: (string | undefined)[] = []
    listener.on('notification', ({ payload }) => heard.push(payload))
    await listener.query('LISTEN onceward')
    const [alone, waited, batched, awaited] = ['alone', 'waited', 'batched', 'awaited'].map((key) => claimOf(key))
    assert.ok(alone && waited && batched && awaited)
    await store.claim([alone, waited, batched, awaited])
    assert.equal(await claimed(store, claimOf('waited')), 'busy')
    assert.equal(await claimed(store, claimOf('awaited')), 'busy')
    await store.settle([completionOf(alone)])
    await store.settle([completionOf(waited)])
    await store.settle([completionOf(batched), completionOf(awaited)])
    await listener.query('SELECT 1')
    assert.deepEqual(heard, [waited.id, awaited.id])
  })

  test('a watch that lost its connection listens again by itself', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    const other = await opened(t, url)
    const claim = claimOf('one')
    await store.claim([claim])
    await other.claim([claimOf('one')])
    const lost = other.watch?.([claim.id], AbortSignal.timeout(20_000))
    const listening = `SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = '${url.split('/').at(-1)}'`
    while ((await server?.query(listening))?.length === 0) await sleep(20)
    await server?.query(`SELECT pg_terminate_backend(pid) FROM (${listening}) found`)
    // Something may have changed meanwhile: it wakes.
    await lost
    while ((await server?.query(listening))?.length === 0)
      await other.watch?.([claim.id], AbortSignal.timeout(50)).catch(() => sleep(20))
    const seen = other.watch?.([claim.id], AbortSignal.timeout(20_000))
    await store.settle([completionOf(claim)])
    await seen
  })

  test('where the default isolation is serializable, racing claims and completions are retried, not failed', async (t) => {
    const url = await fresh()
    await server?.query(`ALTER DATABASE ${url.split('/').at(-1)} SET default_transaction_isolation = 'serializable'`)
    const stores = await Promise.all(Array.from({ length: 6 }, async () => opened(t, url)))
    const keys = Array.from({ length: 12 }, (_, index) => `k${index}`)
    const race = async (store: Store): Promise<number> => {
      const claims = keys.map((key) => claimOf(key))
      const found = await store.claim(claims)
      const mine = claims.filter((_, index) => found[index]?.state === 'claimed')
      const settled = await store.settle(mine.map((claim) => completionOf(claim)))
      assert.ok(settled.every((result) => result === 'ok'))
      return mine.length
    }
    const won = await Promise.all(stores.map(race))
    assert.equal(
      won.reduce((sum, each) => sum + each, 0),
      keys.length,
    )
  })

  test('a commit whose replication was not waited for is unknown, and nothing is acknowledged before one that is', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    const claim = claimOf('one')
    const operator = await connection(t, url)
    await operator.query('SET synchronous_commit = local')
    await store.claim([claim])
    const replicas = async (names: string): Promise<void> => {
      await operator.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`)
      await operator.query('SELECT pg_reload_conf()')
    }
    const waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    const untilOneWaits = async (): Promise<void> => {
      while ((await operator.query(waiting)).rows.length === 0) await sleep(10)
    }
    try {
      await replicas('nobody')
      await sleep(200)
      const told = store.settle([completionOf(claim)]).catch((error: unknown) => error)
      await untilOneWaits()
      await operator.query(`SELECT pg_cancel_backend(pid) FROM (${waiting}) found`)
      assert.match(String(await told), /synchronous replication was cancelled/)
      let answered = false
      const again = store.settle([completionOf(claim)]).finally(() => (answered = true))
      await untilOneWaits()
      assert.equal(answered, false)
      await replicas('')
      assert.deepEqual(await again, ['ok'])
    } finally {
      await replicas('')
    }
  })

  test('a batch finds its rows by the primary key, however small the table was when the planner looked', async (t) => {
    const url = await fresh()
    const store = await opened(t, url)
    const operator = await connection(t, url)
    await store.claim(Array.from({ length: 30 }, (_, index) => claimOf(`small-${index}`)))
    await operator.query('VACUUM ANALYZE onceward')
    // Postgres decides after five executions whether it keeps a plan.
    for (let round = 0; round < 10; round += 1) {
      const claims = [claimOf(`early-${round}`), claimOf('small-1'), claimOf('small-2')]
      await store.claim(claims)
      await store.settle(claims.map((claim) => completionOf(claim)))
      await store.claim([claimOf(`early-one-${round}`)])
    }
    await operator.query(`INSERT INTO onceward SELECT sha256(n::text::bytea), scope, name, key, fingerprint, generation, ttl_ms, remember_ms, holds,
      attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept, meta, body, actor, reason,
      watched, sweep_at FROM generate_series(1, 5000) n, (SELECT * FROM onceward LIMIT 1) one`)
    const readSoFar = async (): Promise<number> => {
      await sleep(1_100) // the store's connections tell what they read once they have been idle for a second
      const { rows } = await operator.query(
        "SELECT seq_tup_read::integer AS read FROM pg_stat_user_tables WHERE relname = 'onceward'",
      )
      return Number(rows[0].read)
    }
    const before = await readSoFar()
    for (let round = 0; round < 10; round += 1) {
      const claims = Array.from({ length: 32 }, (_, index) => claimOf(`${round}-${index}`))
      await store.claim(claims)
      await store.settle(claims.map((claim) => completionOf(claim)))
      await store.claim(claims)
      await store.claim([claimOf(`one-${round}`)])
    }
    // The making of the table and the operator's own statements read a few; one batch that scans reads thousands.
    const read = (await readSoFar()) - before
    assert.ok(read < 1_000, `${read} rows were read by scans`)
  })

  test('two processes with 100 callers of one operation have one effect on Postgres', async () => {
    const url = await fresh()
    const lines = (await Promise.all([effectsOf(url), effectsOf(url)]))
      .join('')
      .split('\n')
      .filter((line) => line !== '')
    assert.equal(lines.filter((line) => line === 'effect').length, 1)
    assert.equal(lines.filter((line) => line === 'answer 42').length, 100)
  })

  test('a store of PGlite keeps what it is told, and says that it promises little', async () => {
    const database = new PGlite()
    const store = postgres(database)
    await store.open()
    assert.equal(store.guarantee.tier, 'best-effort')
    assert.match(store.guarantee.reason, /in this process/)
    await store.close()
    await database.close()
  })

  test('the pool may be as small as one connection: then the store polls', async (t) => {
    const pool = poolOf(await fresh(), { max: 1 })
    const store = postgres(pool)
    t.after(async () => pool.end())
    await store.open()
    await store.claim([claimOf('one')])
    await assert.rejects(
      store.watch?.([claimOf('one').id], AbortSignal.timeout(5_000)) ?? assert.fail(),
      /no connection to spare/,
    )
    assert.equal(await claimed(store, claimOf('one')), 'busy')
    await store.close()
  })
})

test('another client than those known is refused with the names of those that are', () => {
  const single = new Client()
  for (const client of [undefined, null, 'postgres://localhost/db', {}, single, () => {}, { query: () => {} }])
    assert.throws(() => postgres(client as PostgresClient), { name: 'OptionsError', message: /Pool of pg.*postgres\.js.*PGlite/ })
})

test("a table's or schema's name that could end its quotes is refused", () => {
  const client = new PGlite()
  for (const name of ['', 'a"b', 'a.b', "a'b", 'a b', '1a', 'a;drop table x', 'é', 'a'.repeat(64), 'a\\', 'a\0'])
    for (const options of [{ table: name }, { schema: name }])
      assert.throws(() => postgres(client, options), { name: 'OptionsError' }, JSON.stringify(options))
  assert.throws(() => postgres(client, { migrate: 'sometimes' as 'auto' }), { name: 'OptionsError' })
})

/** What a process with fifty callers of the operation said. */
async function effectsOf(url: string): Promise<string> {
  const child = spawn(process.execPath, [new URL('./postgres-child.ts', import.meta.url).pathname, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const [code] = (await eventOf(child, 'close')) as [number]
  assert.equal(code, 0)
  return said
}
