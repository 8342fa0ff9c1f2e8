import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite, test, type TestContext } from 'node:test'
import { onceward, type Once, type OncewardOptions } from '../../src/index.ts'
import { postgres } from '../../src/stores/postgres.ts'
import { startPostgres, startReplica, type PostgresServer } from '../../scripts/servers/postgres.ts'
import { assertNoUnhandledRejections } from '../engine/support.ts'
import { claimOf, completionOf, fillerOf, smallDisk, statesOf } from '../stores/store-support.ts'
import { opened, poolOf, serverFor } from '../stores/postgres-support.ts'
import { Proxy, type Direction } from './proxy.ts'

assertNoUnhandledRejections()

const { server, skip } = await serverFor()

/** An application on a pool of its own, both ended after the test. */
function application(t: TestContext, url: string, options: Partial<OncewardOptions> = {}): Once {
  const pool = poolOf(url, { max: 4, connectionTimeoutMillis: 2_000 })
  const once = onceward({ store: postgres(pool), ...options })
  t.after(async () => {
    await once.close()
    await pool.end()
  })
  return once
}

/** Counts the effects of each key, and asks on behalf of callers who ask again until they are answered. */
class Work {
  readonly effects = new Map<string, number>()
  readonly #once: Once

  constructor(once: Once) {
    this.#once = once
  }

  async until(key: string, tries = 60): Promise<string> {
    for (;;) {
      tries -= 1
      try {
        return await this.#once.run({ scope: 'acme', name: 'charge', key, input: 1 }, async () => {
          this.effects.set(key, (this.effects.get(key) ?? 0) + 1)
          await sleep(5)
          return `done ${key}`
        })
      } catch (error) {
        if (tries <= 0) throw error
        await sleep(100)
      }
    }
  }

  assertOnce(keys: readonly string[]): void {
    assert.deepEqual(
      keys.map((key) => this.effects.get(key)),
      keys.map(() => 1),
    )
  }
}

const keysOf = (count: number, name: string): string[] => Array.from({ length: count }, (_, index) => `${name}-${index}`)

suite('Postgres under faults', { skip }, () => {
  test('a connection cut at any message, in either direction, leaves one effect and nothing stuck', async (t) => {
    if (server === undefined) return
    const direct = await server.database()
    const beside = application(t, direct)
    await beside.open()
    const proxy = await Proxy.before(server.port)
    t.after(async () => proxy.close())
    const url = direct.replace(`:${server.port}/`, `:${proxy.port}/`)
    const cuts: string[] = []
    const cutAt = async (direction: Direction, chunk: number): Promise<boolean> => {
      const once = application(t, url)
      proxy.cutAt(direction, chunk)
      const work = new Work(once)
      const key = `${direction}-${chunk}`
      assert.equal(await work.until(key), `done ${key}`)
      work.assertOnce([key])
      assert.equal((await beside.peek({ scope: 'acme', name: 'charge', key }))?.state, 'completed')
      if (proxy.hasCut) cuts.push(key)
      return proxy.hasCut
    }
    for (const direction of ['up', 'down'] as const) {
      let chunk = 1
      while (await cutAt(direction, chunk)) chunk += 1
      // Opening, claim and completion, at the least.
      assert.ok(chunk > 5, `${direction}: ${cuts.join(' ')}`)
    }
  })

  test('a server that is killed under load and started again loses nothing that was acknowledged, and is found again', async (t) => {
    if (server === undefined) return
    const url = await server.database()
    const once = application(t, url)
    const work = new Work(once)
    const keys = keysOf(120, 'kill')
    const answered = new Set<string>()
    const callers = Array.from({ length: 12 }, async (_, caller) => {
      for (const key of keys.filter((_key, index) => index % 12 === caller)) {
        assert.equal(await work.until(key), `done ${key}`)
        answered.add(key)
      }
    })
    while (answered.size < 24) await sleep(2)
    await server.kill()
    await sleep(300)
    await server.start()
    await Promise.all(callers)
    work.assertOnce(keys)
    // What a caller did not wait for any longer is settled behind it.
    await once.close()
    const direct = await opened(t, url)
    const { records } = await direct.list({ state: 'completed' }, 1_000)
    assert.equal(records.length, keys.length)
  })

  test('while the server stands still nothing hangs past its time, and a lease that lapsed meanwhile does not make two outcomes', async (t) => {
    if (server === undefined) return
    const url = await server.database()
    const once = application(t, url, { lease: '1s', storeTimeout: '500ms' })
    await once.open()
    let effects = 0
    let signalled = false
    const started = Promise.withResolvers<void>()
    const ending = Promise.withResolvers<void>()
    const operation = { scope: 'acme', name: 'charge', key: 'stopped', input: 1 }
    const first = once.run(operation, async ({ signal }) => {
      effects += 1
      signal.addEventListener('abort', () => (signalled = true))
      started.resolve()
      await ending.promise
      return 'first'
    })
    await started.promise
    server.pause()
    try {
      await assert.rejects(
        once.run({ ...operation, key: 'other' }, () => 'never'),
        { name: 'StoreUnavailableError' },
      )
      while (!signalled) await sleep(20)
    } finally {
      server.resume()
    }
    ending.resolve()
    assert.equal(await first, 'first')
    assert.equal(await once.run(operation, () => 'second'), 'first')
    assert.equal(effects, 1)
    assert.equal(await new Work(once).until('after'), 'done after')
  })

  test('with a full disk calls fail, and when there is room again all that was acknowledged is there', async (t) => {
    const disk = smallDisk(t, 160 * 1024 * 1024)
    if ('refused' in disk) return t.skip(disk.refused)
    const place = await startPostgres({
      directory: disk.path,
      settings: ['shared_buffers=16MB', 'max_wal_size=32MB', 'min_wal_size=32MB'],
    })
    if (place === undefined) return t.skip('no server')
    t.after(async () => place.stop())
    const pool = poolOf(await place.database(), { connectionTimeoutMillis: 2_000 })
    t.after(async () => pool.end())
    const store = postgres(pool)
    await store.open()
    const acknowledged: ReturnType<typeof claimOf>[] = []
    const work = async (round: number): Promise<void> => {
      const claims = keysOf(20, String(round)).map((key) => claimOf(key))
      await store.claim(claims)
      await store.settle(
        claims.map((claim) => completionOf(claim, Buffer.from(Array.from({ length: 20_000 }, () => Math.random() * 256)))),
      )
      acknowledged.push(...claims)
    }
    await work(0)
    const filler = fillerOf(disk.path, 2_000_000)
    let failed = 0
    for (let round = 1; failed < 3 && round < 200; round += 1) await work(round).catch(() => (failed += 1))
    assert.equal(failed, 3)
    rmSync(filler)
    // Without room for its log Postgres ends; whoever runs it starts it again.
    await place.restart()
    const deadline = performance.now() + 20_000
    while (
      await work(1_000 + Math.round(performance.now())).then(
        () => false,
        () => true,
      )
    )
      assert.ok(performance.now() < deadline)
    assert.ok(acknowledged.length >= 40)
    assert.ok((await statesOf(store, acknowledged)).every((state) => state === 'completed'))
    await store.close()
  })

  test('a failover that loses an unreplicated claim of Postgres makes two owners, and of their outcomes the later is kept', async (t) => {
    const { primary, replica, replication } = await replicated(t)
    const url = await primary.database()
    const store = await opened(t, url)
    const [known, first, second] = [claimOf('known'), claimOf('k'), claimOf('k')]
    await store.claim([known])
    await store.settle([completionOf(known)])
    await caughtUp(primary)
    replication.hold()
    const owners = [...(await store.claim([first]))]
    await primary.kill()
    await replica.query('SELECT pg_promote()')
    const later = await opened(t, url.replace(`:${primary.port}/`, `:${replica.port}/`))
    owners.push(...(await later.claim([second])))
    assert.deepEqual(
      owners.map((found) => (found.state === 'claimed' ? found.attempt : found.state)),
      [1, 1],
    )
    assert.deepEqual(await later.settle([completionOf(first, 'first')]), ['stale'])
    assert.deepEqual(await later.settle([completionOf(second, 'second')]), ['ok'])
    assert.deepEqual(await statesOf(later, [known, second]), ['completed', 'completed'])
  })

  test('a claim that its synchronous replica does not have is not acknowledged, so that a failover of Postgres makes no second owner', async (t) => {
    const { primary, replica, replication } = await replicated(t)
    const url = await primary.database()
    const store = await opened(t, url)
    await caughtUp(primary)
    await primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await primary.query('SELECT pg_reload_conf()')
    const [before, first, second] = [claimOf('before'), claimOf('k'), claimOf('k')]
    while ((await primary.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")).length === 0) await sleep(20)
    assert.equal((await store.claim([before]))[0]?.state, 'claimed')
    replication.hold()
    const told = store.claim([first]).then(
      (found) => found[0]?.state,
      () => 'unknown',
    )
    while ((await primary.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")).length === 0) await sleep(20)
    await primary.kill()
    assert.equal(await told, 'unknown')
    await replica.query('SELECT pg_promote()')
    const later = await opened(t, url.replace(`:${primary.port}/`, `:${replica.port}/`))
    assert.deepEqual(await statesOf(later, [before]), ['running'])
    assert.equal((await later.claim([second]))[0]?.state, 'claimed')
  })
})

/** A server, a replica of it, and what lies between. */
async function replicated(
  t: TestContext,
): Promise<{ readonly primary: PostgresServer; readonly replica: PostgresServer; readonly replication: Proxy }> {
  const primary = await startPostgres()
  assert.ok(primary)
  const replication = await Proxy.before(primary.port)
  const replica = await startReplica(primary, replication.port)
  t.after(async () => {
    await Promise.all([replica.stop(), primary.stop()])
    await replication.close()
  })
  return { primary, replica, replication }
}

/** Resolves when the replica has all that was committed so far. */
async function caughtUp(primary: PostgresServer): Promise<void> {
  const [row] = await primary.query('SELECT pg_current_wal_lsn()::text AS lsn')
  const behind = `SELECT 1 FROM pg_stat_replication WHERE flush_lsn >= '${String(row?.['lsn'])}'`
  while ((await primary.query(behind)).length === 0) await sleep(20)
}
