import assert from 'node:assert/strict'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { Store } from '../../src/core/store.ts'
import type { SqliteDatabase, SqliteDriver } from '../../src/stores/sqlite.ts'
import { assertFound, type Expected } from '../../src/testing/store/assertions.ts'
import { connection, drivers, newFile, opened, sqliteError, tapped } from './sqlite-support.ts'
import { claimOf, completionOf, smallDisk, statesOf } from './store-support.ts'

const attemptOne: Expected = { state: 'claimed', attempt: 1, steps: [] }

/** A store whose next statement of this text throws the error, once, as if SQLite had. */
async function failing(
  t: TestContext,
  driver: SqliteDriver,
): Promise<{ store: Store; failNext: (sql: string, error: Error) => void }> {
  let next: { sql: string; error: Error } | undefined
  const before = (sql: string): void => {
    if (next === undefined || next.sql !== sql) return
    const { error } = next
    next = undefined
    throw error
  }
  const store = await opened(t, newFile(t), { driver: tapped(driver, { before }) })
  return { store, failNext: (sql, error) => (next = { sql, error }) }
}

for (const { name, driver } of drivers)
  describe(`transactions with ${name}`, () => {
    test('the claims and settlements of one turn are one commit', async (t) => {
      let commits = 0
      const before = (sql: string): void => void (commits += Number(sql === 'COMMIT'))
      const store = await opened(t, newFile(t), { driver: tapped(driver, { before }) })
      const claims = Array.from({ length: 4 }, (_, index) => claimOf(`k${index}`))
      await store.claim(claims)
      commits = 0
      await Promise.all([
        store.claim([claimOf('a'), claimOf('b')]),
        store.settle(claims.map((claim) => completionOf(claim))),
        store.claim([claimOf('c')]),
      ])
      assert.equal(commits, 1)
    })

    test('a lone caller waits for one commit a claim and one a completion', async (t) => {
      const statements: string[] = []
      const before = (sql: string): void => void statements.push(sql)
      const store = await opened(t, newFile(t), { driver: tapped(driver, { before }) })
      statements.length = 0
      const claim = claimOf('a')
      await store.claim([claim])
      await store.settle([completionOf(claim)])
      assert.deepEqual(
        statements.map((sql) => sql.trim().split(' ')[0]),
        ['BEGIN', 'SELECT', 'INSERT', 'COMMIT', 'BEGIN', 'UPDATE', 'COMMIT'],
      )
    })

    test('a replay writes nothing', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver })
      const claim = claimOf('a')
      await store.claim([claim])
      await store.settle([completionOf(claim)])
      const before = statSync(`${file}-wal`)
      const [replay] = await store.claim([claimOf('a')])
      assert.equal(replay?.state, 'completed')
      assert.deepEqual([statSync(`${file}-wal`).size, statSync(`${file}-wal`).mtimeMs], [before.size, before.mtimeMs])
    })

    test('while another process has the file locked the loop goes on, and the calls go through in their order once it is free', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver })
      const other = connection(t, file, driver)
      other.exec('BEGIN IMMEDIATE')
      const first = claimOf('a')
      const calls = [store.claim([first]), store.claim([claimOf('a')]), store.settle([completionOf(first)])]
      let answered = false
      void Promise.all(calls).then(() => (answered = true))
      let longestMs = 0
      for (let ticks = 0, last = performance.now(); ticks < 20; ticks += 1) {
        await pause(2)
        longestMs = Math.max(longestMs, performance.now() - last)
        last = performance.now()
      }
      assert.equal(answered, false)
      // SQLite's own waiting would have kept the thread for seconds.
      assert.ok(longestMs < 1_000, `the loop stood still for ${longestMs} ms`)
      other.exec('ROLLBACK')
      const results = await Promise.all(calls)
      assert.deepEqual(
        results.map(([result]) => (typeof result === 'object' ? result.state : result)),
        ['claimed', 'busy', 'ok'],
      )
    })

    test('a call that waited as long as busyTimeout is rejected, and nothing of it was applied', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver, busyTimeout: 30 })
      const other = connection(t, file, driver)
      other.exec('BEGIN IMMEDIATE')
      const claims = [claimOf('a'), claimOf('b')]
      const message = /locked for more than 30 ms; nothing was applied: the call may be made again/
      await Promise.all(claims.map(async (claim) => assert.rejects(store.claim([claim]), message)))
      other.exec('ROLLBACK')
      assert.deepEqual(await statesOf(store, claims), [null, null])
      const [result] = await store.claim(claims)
      assert.equal(result?.state, 'claimed')
    })

    test('reading does not wait for another process that writes', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver, busyTimeout: 0 })
      const claim = claimOf('a')
      await store.claim([claim])
      connection(t, file, driver).exec('BEGIN IMMEDIATE')
      assert.deepEqual(await statesOf(store, [claim]), ['running'])
      assert.equal((await store.list({}, 10)).records.length, 1)
    })

    test('opening waits for another process that has the file locked', async (t) => {
      const file = newFile(t)
      const other = connection(t, file, driver)
      other.exec('BEGIN EXCLUSIVE')
      const opening = opened(t, file, { driver })
      await pause(20)
      other.exec('COMMIT')
      const [result] = await (await opening).claim([claimOf('a')])
      assert.equal(result?.state, 'claimed')
    })

    test('opening a file that stays locked fails after busyTimeout', async (t) => {
      const file = newFile(t)
      connection(t, file, driver).exec('BEGIN EXCLUSIVE')
      await assert.rejects(opened(t, file, { driver, busyTimeout: 30 }), {
        name: 'StoreOpenError',
        message: /another process has it locked: end that process, or raise busyTimeout/,
      })
    })

    test('a commit that meets a lock is made again as a whole', async (t) => {
      const { store, failNext } = await failing(t, driver)
      failNext('COMMIT', sqliteError('SQLITE_BUSY', 5))
      const claim = claimOf('a')
      for (const found of await store.claim([claim, claim])) assertFound(found, attemptOne)
      const [view] = await store.find([claim.id])
      assert.equal(view?.record.attempt, 1)
    })

    test('data that the database refuses fails its own call, and the others of the turn are applied', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver })
      connection(t, file, driver).exec(`CREATE TRIGGER poison BEFORE INSERT ON onceward WHEN new.key = 'poison'
        BEGIN SELECT RAISE(ABORT, 'poisoned'); END`)
      const running = claimOf('running')
      await store.claim([running])
      const [good, poison, late] = [claimOf('good'), claimOf('poison'), claimOf('late')]
      const calls = await Promise.allSettled([
        store.claim([good]),
        store.claim([claimOf('beside'), poison]),
        store.settle([completionOf(running)]),
        store.claim([late]),
      ])
      assert.deepEqual(
        calls.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
      )
      const refused = calls.find((call) => call.status === 'rejected')?.reason
      assert.equal(refused?.name, 'StoreDataError')
      assert.match(refused.message, /refused the data of one call \(poisoned\); none of it was applied/)
      assert.deepEqual(await statesOf(store, [good, claimOf('beside'), poison, running, late]), [
        'running',
        null,
        null,
        'completed',
        'running',
      ])
    })

    test('a file that may not grow refuses the whole transaction, and works again when it may', async (t) => {
      let database: SqliteDatabase | undefined
      const store = await opened(t, newFile(t), {
        driver: tapped(driver, { before: () => undefined, opened: (connected) => (database = connected) }),
      })
      const kept = claimOf('kept')
      await store.claim([kept])
      database?.exec('PRAGMA max_page_count = 1')
      const claims = Array.from({ length: 100 }, (_, index) => claimOf(`k${index}`))
      const calls = [store.claim(claims), store.settle([completionOf(kept)])]
      const results = await Promise.allSettled(calls)
      for (const result of results) {
        assert.equal(result.status, 'rejected')
        assert.match(String(result.reason), /the disk is full; free space; the call may be made again/)
        assert.ok(result.reason.cause instanceof Error)
      }
      assert.deepEqual(await statesOf(store, [kept, ...claims.slice(0, 2)]), ['running', null, null])
      database?.exec('PRAGMA max_page_count = 1000000')
      assert.deepEqual(await store.settle([completionOf(kept)]), ['ok'])
      const [result] = await store.claim(claims)
      assert.equal(result?.state, 'claimed')
    })

    test('on a full disk nothing acknowledged is lost, and calls go through once there is room', async (t) => {
      const disk = smallDisk(t, 1_500_000)
      if ('refused' in disk) return t.skip(disk.refused)
      const filler = join(disk.path, 'filler')
      writeFileSync(filler, Buffer.alloc(600_000))
      const store = await opened(t, join(disk.path, 'onceward.db'), { driver })
      const acknowledged = []
      let failure: unknown
      for (let index = 0; failure === undefined && index < 100; index += 1) {
        const claim = claimOf(`k${index}`)
        try {
          await store.claim([claim])
          await store.settle([completionOf(claim, Buffer.alloc(20_000, index))])
          acknowledged.push(claim)
        } catch (error) {
          failure = error
        }
      }
      assert.ok(acknowledged.length > 0)
      assert.match(String(failure), /SQLite failed \(.*\): .*; the call may be made again/)
      assert.ok((await statesOf(store, acknowledged)).every((state) => state === 'completed'))
      rmSync(filler)
      const late = claimOf('late')
      await store.claim([late])
      assert.deepEqual(await store.settle([completionOf(late)]), ['ok'])
      assert.ok((await statesOf(store, [...acknowledged, late])).every((state) => state === 'completed'))
    })

    test('an error of the disk at the commit is told to every call of the turn, and the next turn works', async (t) => {
      const { store, failNext } = await failing(t, driver)
      const error = sqliteError('SQLITE_IOERR_FSYNC', 1034)
      failNext('COMMIT', error)
      const calls = await Promise.allSettled([store.claim([claimOf('a')]), store.claim([claimOf('b')])])
      for (const call of calls) {
        assert.equal(call.status, 'rejected')
        assert.equal(call.reason.cause, error)
        assert.match(call.reason.message, /check the disk and the file; the call may be made again/)
      }
      const [result] = await store.claim([claimOf('a')])
      assertFound(result, attemptOne)
    })

    test('a rollback that fails does not hide why', async (t) => {
      let failed = false
      const error = sqliteError('SQLITE_IOERR_FSYNC', 1034)
      const before = (sql: string): void => {
        if (failed && (sql === 'COMMIT' || sql === 'ROLLBACK')) throw error
      }
      const store = await opened(t, newFile(t), { driver: tapped(driver, { before }) })
      failed = true
      await assert.rejects(store.claim([claimOf('a')]), (thrown: Error) => thrown.cause === error)
      failed = false
      // The transaction is still open: the first call finds that out, and ends it.
      await assert.rejects(store.claim([claimOf('a')]), /the call may be made again/)
      const [result] = await store.claim([claimOf('a')])
      assertFound(result, attemptOne)
    })

    test('close waits for the calls made before it, also while another process has the file locked', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver })
      const other = connection(t, file, driver)
      other.exec('BEGIN IMMEDIATE')
      const call = store.claim([claimOf('a')])
      const closing = store.close()
      await pause(5)
      other.exec('ROLLBACK')
      const [result] = await call
      assert.equal(result?.state, 'claimed')
      await closing
    })
  })
