import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import { StoreDataError } from '../../src/core/errors.ts'
import { mysql, type MysqlConnection, type MysqlPool } from '../../src/stores/mysql.ts'
import { openedOn, poolFor } from './mysql-support.ts'
import { answersOf, claimOf, claimsOf, completionOf, fenceOf, statesOf } from './store-support.ts'

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb(['--max-allowed-packet=1M'])
})
after(async () => server?.stop())

/** What a test sees of a pool's connections, and where it puts a stick between their spokes. */
interface Tap {
  readonly told?: (sql: string) => unknown
  readonly released?: () => void
  readonly destroyed?: () => void
}

function tapped(pool: ReturnType<typeof poolFor>, { told, released, destroyed }: Tap): MysqlPool {
  return {
    getConnection: async (): Promise<MysqlConnection> => {
      const connection = await pool.getConnection()
      return {
        query: async (query) => {
          await told?.(query.sql)
          return connection.query(query)
        },
        execute: async (statement) => {
          await told?.(statement.sql)
          return connection.execute(statement)
        },
        release: () => {
          released?.()
          connection.release()
        },
        destroy: () => {
          destroyed?.()
          connection.destroy()
        },
      }
    },
  }
}

suite('on MariaDB', { skip }, () => {
  test('claims and completions of new operations take one statement each, alone and in a batch', async (t) => {
    const statements: string[] = []
    const store = mysql(tapped(poolFor(t, await server.database()), { told: (sql) => statements.push(sql) }))
    await store.open()
    for (const claims of [claimsOf(1, 'lone'), claimsOf(32, 'many')]) {
      statements.length = 0
      await store.claim(claims)
      await store.settle(claims.map((claim) => ({ kind: 'renew', ...fenceOf(claim), leaseMs: 20_000 }) as const))
      await store.settle(claims.map((claim) => completionOf(claim)))
      assert.equal(statements.length, 3, statements.join('\n'))
    }
  })

  test('a decision is written only onto the record that it was taken on: a settlement in between is not overwritten', async (t) => {
    const database = await server.database()
    const clock = { offsetMs: 0 }
    const options = { clockOffsetMs: () => clock.offsetMs }
    const owner = await openedOn(t, database, options)
    for (const meanwhile of ['completes', 'renews', 'is purged'] as const) {
      const claim = claimOf(meanwhile)
      await owner.claim([claim])
      clock.offsetMs += 20_000
      let once = true
      const told = async (sql: string): Promise<void> => {
        if (!once || !/^\s*(SET STATEMENT .* FOR\s+)?UPDATE \(/.test(sql)) return
        once = false
        if (meanwhile === 'completes') await owner.settle([completionOf(claim)])
        else if (meanwhile === 'renews') await owner.settle([{ kind: 'renew', ...fenceOf(claim), leaseMs: 10_000 }])
        else await poolFor(t, database).query('DELETE FROM onceward WHERE id = ?', [Buffer.from(claim.id, 'hex')])
      }
      const other = mysql(tapped(poolFor(t, database), { told }), options)
      await other.open()
      const expected = { completes: 'completed', renews: 'busy', 'is purged': 'claimed' }[meanwhile]
      assert.deepEqual(await answersOf(other, [claimOf(meanwhile)]), [expected], meanwhile)
      assert.equal(once, false, 'it was between the reading and the writing')
    }
  })

  test('a claim that lost the race to insert is told what is committed by then, under each isolation that a session may have', async (t) => {
    const database = await server.database()
    const winner = await openedOn(t, database)
    // All but READ UNCOMMITTED, which opening refuses.
    for (const isolation of ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
      const pool = poolFor(t, database)
      pool.pool.on('connection', (connection) => connection.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${isolation}`))
      const claim = claimOf(isolation)
      const meanwhile = [async () => winner.claim([claim]), async () => winner.settle([completionOf(claim)])]
      let isOpen = false
      const told = async (sql: string): Promise<void> => {
        // Before the loser inserts the winner has; before the loser reads the winner has completed.
        if (isOpen && /INSERT INTO|SELECT id, revision/.test(sql)) await meanwhile.shift()?.()
      }
      const loser = mysql(tapped(pool, { told }))
      await loser.open()
      isOpen = true
      assert.deepEqual(await answersOf(loser, [claimOf(isolation)]), ['completed'], isolation)
      assert.equal(meanwhile.length, 0)
    }
  })

  test('a decision that is written too late is taken again', async (t) => {
    const clock = { offsetMs: 0 }
    let stalls = 1
    const pool = poolFor(t, await server.database())
    const told = (sql: string): void => {
      if (stalls === 0 || !/^\s*SELECT id, revision/.test(sql)) return
      // The process stands still between this reading, whose text is made, and its writing.
      stalls -= 1
      clock.offsetMs += 60_000
    }
    const store = mysql(tapped(pool, { told }), { clockOffsetMs: () => clock.offsetMs })
    await store.open()
    stalls = 0
    await store.claim([claimOf('k', { leaseMs: 1 })])
    clock.offsetMs += 1_000
    stalls = 1
    const claim = claimOf('k')
    assert.deepEqual(await answersOf(store, [claim]), ['claimed'])
    assert.equal(stalls, 0)
    assert.deepEqual(await statesOf(store, [claim]), ['running'])
  })

  test('a connection whose answer did not come is destroyed, and the next call has another', async (t) => {
    const seen = { released: 0, destroyed: 0 }
    let hangs = false
    const tap: Tap = {
      told: () => (hangs ? new Promise(() => {}) : undefined),
      released: () => (seen.released += 1),
      destroyed: () => (seen.destroyed += 1),
    }
    const store = mysql(tapped(poolFor(t, await server.database(), { connectionLimit: 1 }), tap), { callTimeout: 200 })
    await store.open()
    const releasedBefore = seen.released
    hangs = true
    await assert.rejects(store.claim([claimOf('k')]), /no answer of the database within 200 ms/)
    assert.deepEqual([seen.released, seen.destroyed], [releasedBefore, 1])
    hangs = false
    assert.deepEqual(await answersOf(store, [claimOf('k')]), ['claimed'])
  })

  test('a connection that the server killed is not handed out again', async (t) => {
    const database = await server.database()
    const pool = poolFor(t, database, { connectionLimit: 2 })
    const store = mysql(pool)
    await store.open()
    for (let round = 0; round < 5; round += 1) {
      const [rows] = await pool.query('SELECT CONNECTION_ID() AS id')
      assert.ok(Array.isArray(rows))
      await server.root(`KILL ${String(Object(rows[0])['id'])}`)
      const claim = claimOf(`k-${round}`)
      const found = await answersOf(store, [claim]).catch(async () => answersOf(store, [claim]))
      assert.deepEqual(found, ['claimed'])
    }
  })

  test('a claim on a connection that was left inside a transaction is not acknowledged', async (t) => {
    const pool = poolFor(t, await server.database(), { connectionLimit: 1 })
    const store = mysql(pool)
    await store.open()
    for (const left of ['START TRANSACTION', 'SET autocommit = 0']) {
      await pool.query(left)
      const claim = claimOf(left)
      await assert.rejects(store.claim([claim]), /autocommit off or is inside a transaction/)
      assert.deepEqual(await statesOf(store, [claim]), [null])
      assert.deepEqual(await answersOf(store, [claim]), ['claimed'])
    }
  })

  test("an outcome larger than the server's packets is refused as data, and many smaller ones go in several statements", async (t) => {
    const store = await openedOn(t, await server.database())
    const claims = claimsOf(20, 'k')
    await store.claim(claims)
    const [first, ...others] = claims
    assert.ok(first)
    await assert.rejects(store.settle([completionOf(first, new Uint8Array(600_000))]), (error: unknown) => {
      assert.ok(error instanceof StoreDataError)
      assert.match(error.message, /max_allowed_packet of 1048576/)
      return true
    })
    const settled = await store.settle(others.map((claim) => completionOf(claim, new Uint8Array(300_000).fill(7))))
    assert.deepEqual(new Set(settled), new Set(['ok']))
    assert.deepEqual(await statesOf(store, claims), ['running', ...others.map(() => 'completed')])
  })

  test('words that the columns do not hold are refused as data before anything is sent', async (t) => {
    const statements: string[] = []
    const store = mysql(tapped(poolFor(t, await server.database()), { told: (sql) => statements.push(sql) }))
    await store.open()
    statements.length = 0
    for (const changes of [{ scope: 'x'.repeat(1_021) }, { owner: 'x'.repeat(256) }, { id: 'x' }])
      await assert.rejects(store.claim([claimOf('k'), claimOf('l', changes)]), StoreDataError)
    await assert.rejects(store.claim([claimOf('k', { leaseMs: Number.NaN })]), StoreDataError)
    assert.deepEqual(statements, [])
  })

  test('a listing and a purge of more records than one statement looks at go on to the end', async (t) => {
    const store = await openedOn(t, await server.database())
    const all = Array.from({ length: 40 }, (_, batch) => claimsOf(128, `batch-${batch}`))
    for (const claims of all) await store.claim(claims)
    assert.equal((await store.list({ keyPrefix: 'batch-39-127' }, 10)).records.length, 1)
    assert.deepEqual((await store.list({ scope: 'none' }, 10)).records, [])
    for (const claims of all.slice(0, 20)) await store.settle(claims.map((claim) => completionOf(claim)))
    assert.equal(await store.purge({}, 3_000), 20 * 128)
    const page = await store.list({}, 1_000)
    assert.deepEqual([page.records.length, page.next === null], [1_000, false])
  })

  test('the pool stays open when the store is closed', async (t) => {
    const pool = poolFor(t, await server.database())
    const store = mysql(pool)
    await store.open()
    await store.close()
    await sleep(10)
    await pool.query('SELECT 1')
  })
})
