import assert from 'node:assert/strict'
import { after, before, suite, test, type TestContext } from 'node:test'
import { hasMariadb, notRun, startMariadb, type Mariadb, type MariadbDatabase } from '../../scripts/servers/mariadb.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Claim } from '../../src/core/transitions.ts'
import { openedOn, openTransaction, poolFor, pretending } from './mysql-support.ts'
import { answersOf, claimOf, claimsOf, completionOf, fenceOf, statesOf } from './store-support.ts'
import { mysql } from '../../src/stores/mysql.ts'

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => server?.stop())

const id = (claim: Claim): Buffer => Buffer.from(claim.id, 'hex')

/** Somebody's transaction that has one record locked. */
async function lockedBy(t: TestContext, database: MariadbDatabase, claim: Claim): ReturnType<typeof openTransaction> {
  const transaction = await openTransaction(t, database)
  await transaction.connection.query('SELECT id FROM onceward WHERE id = ? FOR UPDATE', [id(claim)])
  return transaction
}

/** Somebody's transaction that inserts the claim's record, with words of another. */
async function insertedBy(t: TestContext, database: MariadbDatabase, claim: Claim): ReturnType<typeof openTransaction> {
  const model = claimOf('model')
  await (await openedOn(t, database)).claim([model])
  const transaction = await openTransaction(t, database)
  const { connection } = transaction
  await connection.query('CREATE TEMPORARY TABLE copy SELECT * FROM onceward WHERE id = ?', [id(model)])
  await connection.query('UPDATE copy SET id = ?, fingerprint = ?', [id(claim), Buffer.from(claim.fingerprint)])
  await connection.query('INSERT INTO onceward SELECT * FROM copy')
  return transaction
}

suite('locks on MariaDB', { skip }, () => {
  test('a claim of a record that an open transaction has locked is busy at once, and the claims of its batch are not', async (t) => {
    const database = await server.database()
    const store = await openedOn(t, database)
    const claims = claimsOf(20, 'lapsed', { leaseMs: 1 })
    await store.claim(claims)
    const again = claimsOf(20, 'lapsed')
    assert.ok(again[7])
    const transaction = await lockedBy(t, database, again[7])
    const found = await answersOf(store, again)
    assert.deepEqual(new Set(found.toSpliced(7, 1)), new Set(['claimed']))
    assert.equal(found[7], 'busy')
    await transaction.end('ROLLBACK')
    assert.deepEqual(await answersOf(store, [again[7]]), ['claimed'])
  })

  test('a claim of an operation that an open transaction is inserting is busy at once, alone and in a batch', async (t) => {
    const database = await server.database()
    const store = await openedOn(t, database)
    const claims = claimsOf(20, 'new')
    assert.ok(claims[3])
    const { end } = await insertedBy(t, database, claims[3])
    assert.deepEqual(await answersOf(store, [claims[3]]), ['busy'])
    const found = await answersOf(store, claims)
    assert.equal(found[3], 'busy')
    assert.deepEqual(new Set(found.toSpliced(3, 1)), new Set(['claimed']))
    await end('ROLLBACK')
    assert.deepEqual(await answersOf(store, [claims[3]]), ['claimed'])
  })

  test('what a locked record shows without being changed is told: a replay waits for nobody', async (t) => {
    const database = await server.database()
    const store = await openedOn(t, database)
    const claim = claimOf('done')
    await store.claim([claim])
    await store.settle([completionOf(claim)])
    await lockedBy(t, database, claim)
    assert.deepEqual(await answersOf(store, [claimOf('done')]), ['completed'])
    assert.deepEqual(await store.settle([completionOf(claim)]), ['ok'])
  })

  test('a settlement of a locked record is not told to be settled, and those of its batch are', async (t) => {
    const database = await server.database()
    const store = await openedOn(t, database)
    const claims = claimsOf(5, 'k')
    assert.ok(claims[2])
    await store.claim(claims)
    const { end } = await lockedBy(t, database, claims[2])
    await assert.rejects(store.settle(claims.map((claim) => completionOf(claim))), /locked by others' transactions/)
    assert.deepEqual(await statesOf(store, claims), ['completed', 'completed', 'running', 'completed', 'completed'])
    await end('ROLLBACK')
    assert.deepEqual(new Set(await store.settle(claims.map((claim) => completionOf(claim)))), new Set(['ok']))
  })

  test('a renewal of a locked record holds up no other, and counts on its lease only while half of it is left', async (t) => {
    const database = await server.database()
    const clock = { offsetMs: 0 }
    const store = await openedOn(t, database, { clockOffsetMs: () => clock.offsetMs })
    const claims = claimsOf(3, 'k', { leaseMs: 100_000 })
    assert.ok(claims[1])
    await store.claim(claims)
    await lockedBy(t, database, claims[1])
    const renewals = claims.map((claim) => ({ kind: 'renew', ...fenceOf(claim), leaseMs: 100_000 }) as const)
    clock.offsetMs = 20_000
    assert.deepEqual(await store.settle(renewals), ['ok', 'ok', 'ok'])
    const views = await store.find(claims.map(({ id: each }) => each))
    const later = views.map((view) => (view === null ? 0 : view.record.leaseUntil - view.record.createdAt > 110_000))
    assert.deepEqual(later, [true, false, true])
    clock.offsetMs = 60_000
    assert.deepEqual(await store.settle(renewals), ['ok', 'stale', 'ok'])
  })

  test('a sweep and a purge leave out the records that are locked', async (t) => {
    const database = await server.database()
    const clock = { offsetMs: 0 }
    const store = await openedOn(t, database, { clockOffsetMs: () => clock.offsetMs })
    const claims = claimsOf(6, 'k')
    await store.claim(claims)
    await store.settle(claims.map((claim) => completionOf(claim)))
    assert.ok(claims[4])
    const { end } = await lockedBy(t, database, claims[4])
    assert.equal(await store.purge({ keyPrefix: 'k-5' }, 10), 1)
    clock.offsetMs = 2 * 86_400_000
    assert.equal(await store.sweep(10), 4)
    await end('ROLLBACK')
    assert.equal(await store.sweep(10), 1)
  })

  test('stores that claim, complete and take over the same operations in crossing batches end with one owner each', async (t) => {
    const database = await server.database()
    const clock = { offsetMs: 0 }
    const stores = await Promise.all([1, 2, 3].map(async () => openedOn(t, database, { clockOffsetMs: () => clock.offsetMs })))
    for (let round = 0; round < 8; round += 1) {
      const won = await Promise.all(
        stores.map(async (store, index) => {
          const claims = claimsOf(24, 'k', { owner: `owner-${round}-${index}` }).toSorted(() => Math.random() - 0.5)
          const halves = [claims.slice(0, 12), claims.slice(12)]
          const found = await Promise.all(halves.map(async (half) => store.claim(half)))
          return found.flat().flatMap((result, place) => (result.state === 'claimed' ? [halves.flat()[place]?.key] : []))
        }),
      )
      assert.deepEqual(new Set(won.flat()).size, won.flat().length, 'no operation has two owners')
      assert.ok(won.flat().length >= 20, 'most have one')
      clock.offsetMs += 20_000
    }
  })

  // MariaDB is told to wait for no lock, so that it gets into no deadlock by itself.
  test('an error of MariaDB that says deadlock, put there by the test, is tried again', async (t) => {
    const database = await server.database()
    const pool = poolFor(t, database)
    let deadlocks = 2
    const store = mysql({
      getConnection: async () => {
        const connection = await pool.getConnection()
        const fail =
          <Query extends { readonly sql: string }>(send: (query: Query) => Promise<unknown>) =>
          async (query: Query) => {
            if (/(INSERT|UPDATE)[^]*`onceward`/.test(query.sql) && deadlocks > 0) {
              deadlocks -= 1
              throw Object.assign(new Error('Deadlock found'), { errno: 1213, sqlState: '40001' })
            }
            return send(query)
          }
        return {
          query: fail(async (query) => connection.query(query)),
          execute: fail(async (query) => connection.execute(query)),
          release: () => connection.release(),
          destroy: () => connection.destroy(),
        }
      },
    })
    await store.open()
    const claim = claimOf('k')
    assert.deepEqual(await answersOf(store, [claim]), ['claimed'])
    deadlocks = 2
    assert.deepEqual(await store.settle([completionOf(claim)]), ['ok'])
    assert.deepEqual(await statesOf(store, [claim]), ['completed'])
  })

  test('of three claimants that get into a real deadlock, as those on MySQL can, one has the operation and two find it busy', async (t) => {
    const database = await server.database()
    const pool = poolFor(t, database)
    const number = async (sql: string): Promise<number> => {
      const [rows] = await pool.query(sql)
      return Number(Object.values(Object(Array.isArray(rows) ? rows[0] : undefined)).at(-1))
    }
    const deadlocks = async (): Promise<number> => number("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    const waiting = async (): Promise<number> =>
      number("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'")
    const claimants = await Promise.all(
      [1, 2, 3].map(async () => {
        // To MySQL a statement cannot say that it waits for no lock: it waits a second, which is where deadlocks come from.
        const store = mysql(pretending(poolFor(t, database), { version: '8.0.36' }))
        await store.open()
        return store
      }),
    )
    const soFar = await deadlocks()
    for (let round = 0; (await deadlocks()) === soFar; round += 1) {
      assert.ok(round < 20, 'a deadlock came about')
      const key = `k-${round}`
      const { end } = await insertedBy(t, database, claimOf(key))
      const asked = claimants.map(async (store) => answersOf(store, [claimOf(key)]))
      for (let looks = 0; looks < 50 && (await waiting()) < 3; looks += 1) await sleep(5)
      // All three were waiting to see whether the key is taken; it is not, and each now stands in the way of the other two.
      await end('ROLLBACK')
      const found = (await Promise.all(asked)).flat()
      assert.deepEqual(found.toSorted(), ['busy', 'busy', 'claimed'])
    }
  })
})
