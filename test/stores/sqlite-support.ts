import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { sqlite, type SqliteDatabase, type SqliteDriver, type SqliteOptions, type SqliteValue } from '../../src/stores/sqlite.ts'
import type { Store } from '../../src/core/store.ts'
import { afterwards, directory } from './store-support.ts'

/** better-sqlite3 is built for each machine: where it could not be, the tests run on `node:sqlite` alone. */
const betterSqlite: SqliteDriver | null = await import('better-sqlite3').then(
  ({ default: Database }) => Database,
  () => null,
)

/** The drivers there are. */
export const drivers: readonly { readonly name: string; readonly driver: SqliteDriver }[] = [
  { name: 'node:sqlite', driver: DatabaseSync },
  ...(betterSqlite === null ? [] : [{ name: 'better-sqlite3', driver: betterSqlite }]),
]

/** The path of a file of its own, removed after the test. */
export function newFile(t: TestContext): string {
  return join(directory(t), 'onceward.db')
}

/** An open store, closed after the test. */
export async function opened(t: TestContext, file: string, options: SqliteOptions = {}): Promise<Store> {
  const store = sqlite(file, options)
  await store.open()
  afterwards(t, async () => store.close())
  return store
}

/** A connection beside the store's, as another process has it; closed after the test. */
export function connection(t: TestContext, file: string, driver: SqliteDriver): SqliteDatabase {
  const database = new driver(file)
  afterwards(t, () => database.close())
  return database
}

/** What a test sees of a connection, and where it puts a stick between its spokes. */
export interface Tap {
  /** Called with the text of every statement before it runs; what it throws the statement throws. */
  readonly before?: (sql: string) => void
  /** Told of a statement that was executed, and may fail it. */
  readonly after?: (sql: string) => void
  /** Called with the connection itself. */
  readonly opened?: (database: SqliteDatabase) => void
}

/** The driver, with every statement told to the tap. */
export function tapped(driver: SqliteDriver, { before, after, opened: toldOf }: Tap): SqliteDriver {
  return class implements SqliteDatabase {
    readonly #database: SqliteDatabase
    constructor(path: string) {
      this.#database = new driver(path)
      toldOf?.(this.#database)
    }
    exec(sql: string): unknown {
      before?.(sql)
      const result = this.#database.exec(sql)
      after?.(sql)
      return result
    }
    prepare(sql: string): ReturnType<SqliteDatabase['prepare']> {
      const statement = this.#database.prepare(sql)
      const told =
        <Result>(call: (...values: SqliteValue[]) => Result) =>
        (...values: SqliteValue[]): Result => {
          before?.(sql)
          return call.apply(statement, values)
        }
      return { run: told(statement.run), get: told(statement.get), all: told(statement.all) }
    }
    close(): unknown {
      return this.#database.close()
    }
  }
}

/** An error as either driver throws it. */
export function sqliteError(code: 'SQLITE_BUSY' | 'SQLITE_IOERR_FSYNC', errcode: number): Error {
  return Object.assign(new Error(`${code} for this test`), { code, errcode })
}
