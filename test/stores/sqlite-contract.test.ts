import { describe, test } from 'node:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqlite, type SqliteOptions } from '../../src/stores/sqlite.ts'
import { storeContract, type OpenDatabase } from 'onceward/testing'

/** A file of its own for each case. */
function fileWith(driver: Pick<SqliteOptions, 'driver'>): OpenDatabase {
  return async ({ clockOffsetMs }) => {
    const directory = await mkdtemp(join(tmpdir(), 'onceward-'))
    const instance = () => sqlite(join(directory, 'onceward.db'), { ...driver, clockOffsetMs })
    return {
      store: instance(),
      second: async () => instance(),
      refused: {
        claim: (taken) => ({ ...taken, id: 'not hexadecimal' }),
        settlement: (taken) => ({ ...taken, id: taken.id.slice(1) }),
      },
      close: async () => rm(directory, { recursive: true }),
    }
  }
}

/** better-sqlite3 is built for each machine: where it could not be, the suite runs on `node:sqlite` alone. */
const betterSqlite = await import('better-sqlite3').then(
  ({ default: Database }) => Database,
  () => null,
)

describe('on node:sqlite', () => {
  storeContract(test, fileWith({}))
})

describe('on better-sqlite3', { skip: betterSqlite === null ? 'better-sqlite3 is not there' : false }, () => {
  if (betterSqlite !== null) storeContract(test, fileWith({ driver: betterSqlite }))
})
