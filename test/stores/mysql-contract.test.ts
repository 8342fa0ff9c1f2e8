import { after, before, describe, test } from 'node:test'
import type { PoolOptions } from 'mysql2/promise'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import { mysql } from '../../src/stores/mysql.ts'
import { pretending } from './mysql-support.ts'
import { storeContract, type OpenDatabase } from 'onceward/testing'

const skip = (await hasMariadb()) ? false : notRun

/** Everything that a session can be set to which changes what a text means, or how rows come back. */
const awkward = [
  "SET SESSION sql_mode = 'ORACLE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,EMPTY_STRING_IS_NULL,PAD_CHAR_TO_FULL_LENGTH,SIMULTANEOUS_ASSIGNMENT,HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION'",
  "SET SESSION time_zone = '-12:45', SESSION sql_select_limit = 12, SESSION tx_isolation = 'SERIALIZABLE'",
  'SET SESSION character_set_connection = utf16, SESSION character_set_results = latin1',
]
const awkwardPool: PoolOptions = {
  charset: 'latin1',
  rowsAsArray: true,
  nestTables: true,
  namedPlaceholders: true,
  supportBigNumbers: true,
  bigNumberStrings: true,
  connectionLimit: 3,
  flags: ['-FOUND_ROWS'],
}

let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => server?.stop())

/** What differs from the defaults. */
interface Surroundings {
  readonly options?: PoolOptions
  readonly session?: readonly string[]
  /** What the server says of itself. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A database of its own for each case, and a pool for each instance. */
function databaseWith({ options = {}, session = [], settings = {} }: Surroundings): OpenDatabase {
  return async ({ clockOffsetMs }) => {
    const database = await server.database()
    const pools: ReturnType<typeof database.pool>[] = []
    const instance = () => {
      const pool = database.pool(options)
      pool.pool.on('connection', (connection) => session.forEach((sql) => connection.query(sql)))
      pools.push(pool)
      return mysql(pretending(pool, settings), { clockOffsetMs })
    }
    return {
      store: instance(),
      second: async () => instance(),
      refused: {
        claim: (taken) => ({ ...taken, id: 'not hexadecimal' }),
        settlement: (taken) => ({ ...taken, id: taken.id.slice(1) }),
      },
      close: async () => {
        await Promise.all(pools.map(async (pool) => pool.end()))
        await server.root(`DROP DATABASE ${database.name}`)
      },
    }
  }
}

describe('on MariaDB', { skip }, () => {
  storeContract(test, databaseWith({}))
})

describe('on MariaDB, in a session and with a pool whose settings are awkward', { skip }, () => {
  storeContract(test, databaseWith({ options: awkwardPool, session: awkward }))
})

// The statements that MySQL is sent, where it cannot be told to wait for no lock; that it understands them is not shown by this.
describe('on MariaDB that says it is MySQL 8', { skip }, () => {
  storeContract(test, databaseWith({ settings: { version: '8.0.36' } }), { runs: 20 })
})
