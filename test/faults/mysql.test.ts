import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { after, before, suite, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPool, type Pool } from 'mysql2/promise'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import type { Claim } from '../../src/core/transitions.ts'
import { onceward, OncewardError, type Once, type OncewardOptions } from '../../src/index.ts'
import { assertNoUnhandledRejections } from '../engine/support.ts'
import { claimsOf, completionOf, fillerOf, smallDisk, statesOf } from '../stores/store-support.ts'
import { mysql } from '../../src/stores/mysql.ts'
import { Proxy, type Direction } from './proxy.ts'

assertNoUnhandledRejections()

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => server?.stop())

/** An engine on a pool of its own, both ended after the test. */
function engineOn(t: TestContext, pool: Pool, options: Partial<OncewardOptions> = {}): Once {
  const once = onceward({ store: mysql(pool, { callTimeout: '1s' }), storeTimeout: '1s', ...options })
  t.after(async () => {
    await once.close()
    await pool.end()
  })
  return once
}

/** Asks for an operation until it is answered with a value; bounded by the test's own time. */
async function insisted(once: Once, key: string, work: () => Promise<string>): Promise<string> {
  for (;;) {
    try {
      return await once.run({ scope: 'acme', name: 'charge', key }, work)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'store_unavailable' && code !== 'busy' && code !== 'lease_lost') throw error
      await sleep(50)
    }
  }
}

suite('faults of MariaDB', { skip }, () => {
  test('a MariaDB that is killed under load and started again loses nothing it acknowledged, and the store needs no restart', async (t) => {
    const database = await server.database()
    const once = engineOn(t, database.pool({ connectTimeout: 500 }), { lease: '2s' })
    await once.open()
    const runs = new Map<string, number>()
    const settled = new Map<string, string>()
    const work = async (key: string): Promise<void> => {
      const value = await insisted(once, key, async () => {
        runs.set(key, (runs.get(key) ?? 0) + 1)
        return `${key} by run ${runs.get(key)}`
      })
      settled.set(key, value)
    }
    const keys = Array.from({ length: 400 }, (_, index) => `k${index}`)
    let next = 0
    const caller = async (): Promise<void> => {
      for (let key = keys[next++]; key !== undefined; key = keys[next++]) await work(key)
    }
    const callers = Promise.all(Array.from({ length: 8 }, caller))
    while (settled.size < 100) await sleep(1)
    await server.kill()
    await sleep(1_500)
    await server.restart()
    await callers
    const later = engineOn(t, database.pool())
    for (const [key, value] of settled) {
      const again = await later.run({ scope: 'acme', name: 'charge', key }, () => assert.fail(`${key} runs again`))
      assert.equal(again, value)
    }
    assert.equal(settled.size, keys.length)
  })

  test('a MariaDB that stands still for longer than the lease hangs nobody, and the late owner gets the one outcome', async (t) => {
    const database = await server.database()
    const first = engineOn(t, database.pool({ connectTimeout: 500 }), { lease: '600ms', wait: '30s' })
    const other = engineOn(t, database.pool({ connectTimeout: 500 }), { lease: '600ms', wait: '30s' })
    await Promise.all([first.open(), other.open()])
    const running = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const early = insisted(first, 'k', async () => {
      begun.resolve()
      await running.promise
      return 'first'
    })
    await begun.promise
    server.pause()
    try {
      // Its threads stop one after the other.
      await sleep(200)
      const asked = first.run({ scope: 'acme', name: 'charge', key: 'l' }, () => assert.fail('it runs without a store'))
      await assert.rejects(asked, { code: 'store_unavailable' })
      await sleep(1_500)
    } catch (error) {
      running.resolve()
      throw error
    } finally {
      server.resume()
    }
    const late = insisted(other, 'k', async () => 'other')
    await sleep(200)
    running.resolve()
    const [one, two] = await Promise.all([early, late])
    assert.equal(one, two)
  })

  test('a connection cut at any message, in either direction, leaves one effect recorded and one outcome', async (t) => {
    const proxy = await Proxy.before(server.port)
    const { port } = proxy
    t.after(async () => proxy.close())
    const database = await server.database()
    const direct = engineOn(t, database.pool())
    await direct.open()
    for (const direction of ['up', 'down'] as const) await cutAtEach(direction)

    async function cutAtEach(direction: Direction): Promise<void> {
      for (let chunk = 1; ; chunk += 1) {
        const pool = createPool({ host: '127.0.0.1', port, user: 'root', database: database.name })
        const once = engineOn(t, pool, { lease: '10s', wait: '30s' })
        const key = `${direction} ${chunk}`
        let runs = 0
        proxy.cutAt(direction, chunk)
        const value = await insisted(once, key, async () => {
          runs += 1
          return `run ${runs}`
        })
        assert.equal(runs, 1, `cut ${key}: one attempt runs, since its owner is recognised when it asks again`)
        const again = await direct.run({ scope: 'acme', name: 'charge', key }, () => assert.fail('it runs again'))
        assert.equal(again, value)
        assert.equal(value, 'run 1')
        if (!proxy.hasCut) return assert.ok(chunk > 8, 'opening and two calls have more messages than that')
        assert.ok(chunk < 100, 'a call has an end')
      }
    }
  })

  test('with a full disk calls fail as unknown, and when there is room again all that MariaDB acknowledged is there', async (t) => {
    const disk = smallDisk(t, 128 * 1024 * 1024)
    if ('refused' in disk) return t.skip(disk.refused)
    const place = await startMariadb(['--innodb-log-file-size=8M', '--innodb-buffer-pool-size=16M'], disk.path)
    t.after(async () => place.stop())
    const pool = (await place.database()).pool()
    t.after(async () => pool.end())
    const store = mysql(pool)
    await store.open()
    const acknowledged: Claim[] = []
    const work = async (round: number): Promise<void> => {
      const claims = claimsOf(20, String(round))
      await store.claim(claims)
      await store.settle(claims.map((claim) => completionOf(claim, randomBytes(20_000))))
      acknowledged.push(...claims)
    }
    await work(0)
    const filler = fillerOf(disk.path, 4_000_000)
    let failed = 0
    for (let round = 1; failed < 3 && round < 200; round += 1)
      await work(round).catch((error: unknown) => {
        // Another class would say that nothing was written, which is more than is known.
        assert.ok(!(error instanceof OncewardError), String(error))
        failed += 1
      })
    assert.equal(failed, 3)
    rmSync(filler)
    for (let round = 1_000; ; round += 1) {
      assert.ok(round < 1_200, 'it works again without a restart')
      const isWorking = await work(round).then(
        () => true,
        () => sleep(100, false),
      )
      if (isWorking) break
    }
    assert.ok(acknowledged.length >= 40)
    const states = await Promise.all(acknowledged.map(async (claim) => (await statesOf(store, [claim]))[0]))
    assert.deepEqual(new Set(states), new Set(['completed']))
    await store.close()
  })
})
