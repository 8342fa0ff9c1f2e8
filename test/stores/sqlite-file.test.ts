import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, openSync, closeSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { sqlite, type SqliteOptions } from '../../src/stores/sqlite.ts'
import { connection, drivers, newFile, opened, tapped } from './sqlite-support.ts'
import { claimOf, directory, smallDisk } from './store-support.ts'

/** Opening must fail as `StoreOpenError` with a message that says all of this. */
async function refuses(file: string, options: SqliteOptions, ...says: RegExp[]): Promise<void> {
  const store = sqlite(file, options)
  await assert.rejects(store.open(), (error: Error) => {
    assert.equal(error.name, 'StoreOpenError')
    for (const each of [...says, file])
      assert.ok(typeof each === 'string' ? error.message.includes(each) : each.test(error.message), error.message)
    return true
  })
  await store.close()
}

for (const { name, driver } of drivers)
  describe(`opening a file with ${name}`, () => {
    test('a file that is opened for the first time gets its tables, and WAL with synchronous FULL', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver })
      assert.equal(store.guarantee.tier, 'atomic')
      assert.match(store.guarantee.reason, /journal_mode=wal, synchronous=FULL/)
      assert.deepEqual(
        { ...(connection(t, file, driver).prepare('PRAGMA journal_mode').get() as object) },
        { journal_mode: 'wal' },
      )
    })

    test('the guarantee is read from the connection, not assumed', async (t) => {
      class Weak extends tapped(driver, { before: () => undefined }) {
        override exec(sql: string): unknown {
          return super.exec(sql.replace('synchronous = FULL', 'synchronous = NORMAL'))
        }
      }
      const store = await opened(t, newFile(t), { driver: Weak })
      assert.equal(store.guarantee.tier, 'best-effort')
      assert.match(store.guarantee.reason, /synchronous=1: a commit can be lost/)
    })

    test('records in memory are promised best effort only', async (t) => {
      const store = await opened(t, ':memory:', { driver })
      assert.equal(store.guarantee.tier, 'best-effort')
      const [result] = await store.claim([claimOf('a')])
      assert.equal(result?.state, 'claimed')
    })

    test('a directory that does not exist is named, with what to check', async (t) => {
      await refuses(join(directory(t), 'missing', 'onceward.db'), { driver }, /check that its directory exists/)
    })

    test('a path that is a directory is refused', async (t) => {
      const path = newFile(t)
      mkdirSync(path)
      await refuses(path, { driver }, /that it is a file/)
    })

    test('a file that is not a database is refused and left as it is', async (t) => {
      const file = newFile(t)
      writeFileSync(file, 'a shopping list, longer than the header of a database by the time that it is written '.repeat(20))
      await refuses(file, { driver }, /not a SQLite database: give another path/)
    })

    test('a damaged database is refused, with what to do', async (t) => {
      const file = newFile(t)
      const store = await opened(t, file, { driver })
      await store.close()
      const descriptor = openSync(file, 'r+')
      writeSync(descriptor, Buffer.alloc(3996, 0xff), 0, 3996, 100)
      closeSync(descriptor)
      await refuses(file, { driver }, /damaged: restore it from a backup/)
    })

    test('a file on a read-only file system is refused, whether its tables are there or not', async (t) => {
      const disk = smallDisk(t, 2_000_000)
      if ('refused' in disk) return t.skip(disk.refused)
      const file = join(disk.path, 'onceward.db')
      const store = await opened(t, file, { driver })
      for (const part of ['', '-wal', '-shm']) copyFileSync(`${file}${part}`, `${file}.open${part}`)
      await store.close()
      execFileSync('mount', ['-o', 'remount,ro', disk.path])
      await refuses(file, { driver }, /writ/)
      await refuses(`${file}.open`, { driver }, /writ/)
      await refuses(join(disk.path, 'new.db'), { driver }, /may write/)
    })

    test('a file system that cannot have WAL is refused', async (t) => {
      class Network extends tapped(driver, { before: () => undefined }) {
        override exec(sql: string): unknown {
          return super.exec(sql.replace('journal_mode = WAL', 'journal_mode = DELETE'))
        }
      }
      await refuses(
        newFile(t),
        { driver: Network },
        /journal mode is 'delete'.*network file systems: put the file on a local disk/,
      )
    })

    test('a file whose text is not UTF-8 is refused', async (t) => {
      const file = newFile(t)
      connection(t, file, driver).exec(`PRAGMA encoding = 'UTF-16le'; CREATE TABLE other (a TEXT)`)
      await refuses(file, { driver }, /UTF-16le: give Onceward a file of its own/)
    })

    test('the tables of a newer version are refused when only that version may read them', async (t) => {
      const file = newFile(t)
      await opened(t, file, { driver })
      connection(t, file, driver).exec('UPDATE onceward_schema SET version = 9, readable_by = 8')
      await refuses(file, { driver }, /newer version of Onceward \(schema 9, this one knows 1\): upgrade onceward/)
    })

    test('the tables of a newer version are used when this version may read them', async (t) => {
      const file = newFile(t)
      await opened(t, file, { driver })
      connection(t, file, driver).exec('UPDATE onceward_schema SET version = 9, readable_by = 1')
      const [result] = await (await opened(t, file, { driver })).claim([claimOf('a')])
      assert.equal(result?.state, 'claimed')
    })

    test('a table of that name that is not its own is refused and left as it is', async (t) => {
      for (const taken of ['onceward', 'ONCEWARD', 'onceward_id', 'onceward_steps', 'onceward_schema']) {
        const file = newFile(t)
        const other = connection(t, file, driver)
        other.exec(`CREATE TABLE ${taken} (a TEXT)`)
        await refuses(file, { driver }, /not Onceward's: give another name as 'table'/)
        assert.equal(other.prepare('SELECT * FROM sqlite_schema').all().length, 1)
      }
    })

    test('tables that lack a part are refused', async (t) => {
      const file = newFile(t)
      await opened(t, file, { driver })
      connection(t, file, driver).exec('DROP TABLE onceward_steps')
      await refuses(file, { driver }, /not as Onceward made them: restore them/)
    })

    test("with migrate 'never' the error shows the SQL that makes the tables", async (t) => {
      const file = newFile(t)
      const store = sqlite(file, { driver, migrate: 'never', table: 'mine' })
      const message = await store.open().then(
        () => '',
        (error: Error) => error.message,
      )
      assert.match(message, /migrate is 'never': run this SQL/)
      connection(t, file, driver).exec(message.slice(message.indexOf('CREATE')))
      await store.open()
      const [result] = await store.claim([claimOf('a')])
      assert.equal(result?.state, 'claimed')
      await store.close()
    })

    test('tables that another process made in the meantime are used', async (t) => {
      const file = newFile(t)
      const other = connection(t, file, driver)
      const schema = await sqlite(file, { driver, migrate: 'never' })
        .open()
        .catch(({ message }: Error) => message.slice(message.indexOf('CREATE')))
      let made = false
      const before = (sql: string): void => {
        if (sql !== 'BEGIN IMMEDIATE' || made) return
        made = true
        other.exec(String(schema))
      }
      const [result] = await (await opened(t, file, { driver: tapped(driver, { before }) })).claim([claimOf('a')])
      assert.equal(made, true)
      assert.equal(result?.state, 'claimed')
    })

    test('two stores with tables of their own share a file, beside the tables of others', async (t) => {
      const file = newFile(t)
      connection(t, file, driver).exec('CREATE TABLE orders (a TEXT)')
      const stores = [await opened(t, file, { driver }), await opened(t, file, { driver, table: 'other_Table2' })]
      for (const store of stores) {
        const [result] = await store.claim([claimOf('a')])
        assert.equal(result?.state, 'claimed')
      }
    })

    test('a file can be opened after opening it failed, by the same store', async (t) => {
      const path = directory(t)
      const file = join(path, 'later', 'onceward.db')
      const store = sqlite(file, { driver })
      await assert.rejects(store.open(), { name: 'StoreOpenError' })
      mkdirSync(join(path, 'later'))
      await store.open()
      await store.close()
    })

    test('what failed to open holds no lock on the file', async (t) => {
      const file = newFile(t)
      const other = connection(t, file, driver)
      other.exec('CREATE TABLE onceward (a TEXT)')
      await refuses(file, { driver }, /not Onceward's/)
      other.exec('DROP TABLE onceward; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT')
    })
  })

test('calls of open at the same time share one connection', async (t) => {
  let connections = 0
  const [first] = drivers
  assert.ok(first)
  const driver = tapped(first.driver, { before: () => undefined, opened: () => (connections += 1) })
  const store = sqlite(newFile(t), { driver })
  await Promise.all([store.open(), store.open(), store.open()])
  await store.open()
  assert.equal(connections, 1)
  await store.close()
})

test('before open and after close calls say so and do nothing', async (t) => {
  const store = sqlite(newFile(t))
  await assert.rejects(store.claim([claimOf('a')]), {
    name: 'StoreOpenError',
    message: /not open; nothing was done: call open\(\) first/,
  })
  await store.open()
  await Promise.all([store.close(), store.close()])
  await assert.rejects(store.claim([claimOf('a')]), { name: 'ClosedError' })
  await assert.rejects(store.list({}, 10), { name: 'ClosedError' })
  await assert.rejects(store.open(), { name: 'ClosedError' })
})

test('closing while opening leaves nothing open', async (t) => {
  let open = 0
  const [first] = drivers
  assert.ok(first)
  const counted = tapped(first.driver, { before: () => undefined, opened: () => (open += 1) })
  class Driver extends counted {
    override close(): unknown {
      open -= 1
      return super.close()
    }
  }
  const store = sqlite(newFile(t), { driver: Driver })
  const opening = store.open().catch(() => undefined)
  await store.close()
  await opening
  assert.equal(open, 0)
})

test('a wrong option is refused by name before anything is opened', (t) => {
  const file = newFile(t)
  const refused = (path: unknown, options: object, message: RegExp): void =>
    assert.throws(() => sqlite(path as string, options), { name: 'OptionsError', message })
  refused('', {}, /path must be a file's path.*give one/)
  refused(undefined, {}, /path must be/)
  refused('a\0b', {}, /path must be/)
  refused(file, { driver: 'better-sqlite3' }, /driver must be a class/)
  refused(file, { migrate: 'maybe' }, /migrate is "maybe": give 'auto' or 'never'/)
  refused(file, { busyTimeout: -1 }, /busyTimeout/)
  refused(file, { busyTimeout: 'soon' }, /busyTimeout/)
  assert.equal(existsSync(file), false)
})

test('a table name that is no plain identifier is refused', (t) => {
  const file = newFile(t)
  for (const table of [
    '',
    '1st',
    'a b',
    'a"; DROP TABLE users; --',
    "a'",
    'a.b',
    'sqlite_x',
    'SQLite_x',
    'ä',
    'a\0',
    'a'.repeat(41),
    7,
  ])
    assert.throws(() => sqlite(file, { table: table as string }), { name: 'OptionsError', message: /^table is/ })
  assert.ok(sqlite(file, { table: 'a'.repeat(40) }))
})
