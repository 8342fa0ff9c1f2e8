import { DatabaseSync } from 'node:sqlite'
import type { SqliteOptions } from 'onceward/sqlite'

type Driver = NonNullable<SqliteOptions['driver']>
type Database = InstanceType<Driver>
type Statement = ReturnType<Database['prepare']>

/** A driver for the SQLite store, and how many commits it made that wrote something: each waits for the disk. */
export interface CountingDriver {
  readonly driver: Driver
  readonly commits: () => number
}

/** `node:sqlite` that counts. A transaction that changed nothing, such as a sweep that found nothing, writes nothing. */
export function countingDriver(): CountingDriver {
  let commits = 0
  let changes = 0

  class CountingDatabase implements Database {
    readonly #database: DatabaseSync

    constructor(path: string) {
      this.#database = new DatabaseSync(path)
    }

    exec(sql: string): void {
      this.#database.exec(sql)
    }

    prepare(sql: string): Statement {
      const statement = this.#database.prepare(sql)
      // Of any other statement SQLite says the changes of the one before it.
      const isChange = /^\s*(INSERT|UPDATE|DELETE)/.test(sql)
      const run: Statement['run'] = (...values) => {
        const result = statement.run(...values)
        if (isChange) changes += Number(result.changes)
        return result
      }
      const commit: Statement['run'] = () => {
        if (changes > 0) commits += 1
        changes = 0
        return statement.run()
      }
      return {
        run: sql === 'COMMIT' ? commit : run,
        get: (...values) => statement.get(...values),
        all: (...values) => statement.all(...values),
      }
    }

    close(): void {
      this.#database.close()
    }
  }

  return { driver: CountingDatabase, commits: () => commits }
}
