import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { durationMs, type Duration } from '../core/duration.ts'
import { ClosedError, OptionsError, StoreOpenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Bridge } from '../core/bridge.ts'
import type {
  AtomicStore,
  Guarantee,
  RecordFilter,
  RecordPage,
  RecordView,
  TransactionRequest,
  TransactionResult,
} from '../core/store.ts'
import type { Claim, ClaimResult, Settlement, SettleResult } from '../core/transitions.ts'
import { checkBridge, transact } from './sqlite-atomic.ts'
import { SqliteBridge } from './sqlite-bridge.ts'
import {
  IDENTITY,
  isLocked,
  named,
  openBeside,
  openError,
  openFile,
  pragma,
  type SqliteDatabase,
  type SqliteDriver,
} from './sqlite-file.ts'
import { TransactionQueue } from './sqlite-queue.ts'
import { SqliteRecords } from './sqlite-records.ts'

export type { SqliteDatabase, SqliteDriver, SqliteStatement, SqliteValue } from './sqlite-file.ts'

/**
 * Options of the SQLite store.
 * @template Database what the work of a transaction gets: a connection of the driver's
 */
export interface SqliteOptions<Database extends SqliteDatabase = SqliteDatabase> {
  /** The class of the database: better-sqlite3's `Database`, for example. @default `DatabaseSync` of `node:sqlite` */
  readonly driver?: SqliteDriver<Database>
  /** Prefix of the tables' names: letters, digits and `_`, at most 40. @default 'onceward' */
  readonly table?: string
  /** `never`: `open` creates nothing, and when the tables are missing its error shows the SQL to run. @default 'auto' */
  readonly migrate?: 'auto' | 'never'
  /** How long a call waits for a lock that another process holds on the file. @default '5s' */
  readonly busyTimeout?: Duration
  /** Added to the clock by which leases and expiry are judged: for tests. Milliseconds. @default () => 0 */
  readonly clockOffsetMs?: () => number
}

/**
 * Remembers operations in a SQLite file, which any number of processes of one machine may share.
 * @param path the file, created when missing; `':memory:'` keeps the records in the process
 * @throws OptionsError
 */
export function sqlite<Database extends SqliteDatabase = SqliteDatabase>(
  path: string,
  options: SqliteOptions<Database> = {},
): AtomicStore<Database> {
  return new SqliteStore(path, options)
}

/** What there is while the file is open. */
interface OpenFile {
  readonly database: SqliteDatabase
  readonly queue: TransactionQueue
  readonly records: SqliteRecords
}

/** One connection to one file, on this thread: what a call does there takes less time than sending it to another thread. */
class SqliteStore<Database extends SqliteDatabase> implements AtomicStore<Database> {
  readonly name = 'sqlite'
  readonly synchronous = true
  guarantee: Guarantee = { tier: 'best-effort', reason: 'the file has not been opened' }
  readonly #path: string
  readonly bridge: SqliteBridge<Database>
  #driver: SqliteDriver<Database> | undefined
  readonly #table: string
  readonly #migrate: 'auto' | 'never'
  readonly #busyTimeoutMs: number
  readonly #now: () => number
  #opening: Promise<void> | undefined
  #file: OpenFile | undefined
  /** The calls on their way that take more than one transaction. */
  readonly #sliced = new Set<Promise<void>>()
  #isClosed = false

  constructor(path: string, options: SqliteOptions<Database>) {
    checkOptions(path, options)
    const { driver, table = 'onceward', migrate = 'auto', busyTimeout = limits.storeTimeoutMs, clockOffsetMs = () => 0 } = options
    this.#path = path
    this.#driver = driver
    this.#table = table
    this.#migrate = migrate
    this.#busyTimeoutMs = durationMs('busyTimeout', busyTimeout)
    this.#now = () => Date.now() + clockOffsetMs()
    this.bridge = new SqliteBridge({ open: () => this.#beside(), busyTimeoutMs: this.#busyTimeoutMs })
  }

  async open(): Promise<void> {
    if (this.#isClosed) throw new ClosedError()
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw openError(this.#path, error)
    })
    return this.#opening
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    const { queue, records } = this.#opened()
    return queue.write((now) => claims.map((claim) => records.claim(claim, now)))
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    const { queue, records } = this.#opened()
    return queue.write((now) => settlements.map((settlement) => records.settle(settlement, now)))
  }

  async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    const { queue, records } = this.#opened()
    return queue.read((now) => ids.map((id) => records.view(id, now)))
  }

  async list(filter: RecordFilter, limit: number, after = ''): Promise<RecordPage> {
    const { queue, records } = this.#opened()
    const found: RecordView[] = []
    let from: string | null = after
    await this.#inSlices(async () => {
      // One more than asked for tells whether there is a next page.
      const wanted = { filter, after: from ?? '', limit: limit + 1 - found.length }
      const { result, next } = await queue.read((now) => records.list(wanted, now))
      found.push(...result)
      from = next
      return from !== null && found.length <= limit
    })
    const page = found.slice(0, limit)
    return { records: page, next: found.length > limit ? (page.at(-1)?.record.id ?? null) : null }
  }

  async purge(filter: RecordFilter, limit: number): Promise<number> {
    const { queue, records } = this.#opened()
    let purged = 0
    let from: string | null = ''
    await this.#inSlices(async () => {
      const wanted = { filter, after: from ?? '', limit: limit - purged }
      const { result, next } = await queue.write((now) => records.purge(wanted, now))
      purged += result
      from = next
      return from !== null && purged < limit
    })
    return purged
  }

  async sweep(limit: number): Promise<number> {
    const { queue, records } = this.#opened()
    let [looked, touched] = [0, 0]
    await this.#inSlices(async () => {
      const slice = await queue.write((now) => records.sweep(limit - looked, now))
      looked += slice.looked
      touched += slice.touched
      return slice.more && looked < limit
    })
    return touched
  }

  async transaction<Tx>(request: TransactionRequest<Tx>): Promise<TransactionResult> {
    this.#opened()
    if (this.#path === ':memory:')
      throw new OptionsError(
        'a SQLite database in memory cannot be reached by a second connection; nothing ran: give a file for transactions',
      )
    return transact(request, { table: this.#table, now: this.#now })
  }

  async check<Tx>(bridge: Bridge<Tx>): Promise<void> {
    const { queue, database } = this.#opened()
    const row = await queue.read(() => database.prepare(named(IDENTITY, this.#table)).get() as { identity: string })
    await checkBridge(bridge, { table: this.#table, now: this.#now }, row.identity)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    // What failed to open is closed already, and its caller has been told.
    await this.#opening?.catch(() => undefined)
    const file = this.#file
    this.#file = undefined
    if (file === undefined) return
    // Whatever fails there is told to its own caller.
    await Promise.allSettled([...this.#sliced, this.bridge.close()])
    await file.queue.read(() => undefined).catch(() => undefined)
    file.database.close()
  }

  /** Makes a long call in slices, each a transaction of its own, until one says that nothing is left; `close` waits for its end. */
  async #inSlices(slice: () => Promise<boolean>): Promise<void> {
    const call = sliceAfterSlice(slice)
    this.#sliced.add(call)
    try {
      await call
    } finally {
      this.#sliced.delete(call)
    }
  }

  #opened(): OpenFile {
    if (this.#isClosed) throw new ClosedError()
    if (this.#file === undefined) throw new StoreOpenError('the SQLite store is not open; nothing was done: call open() first')
    return this.#file
  }

  /** A connection of the transactions' own. */
  #beside(): Database {
    if (this.#driver === undefined) throw new StoreOpenError('the SQLite store is not open; nothing was done: call open() first')
    return openBeside(this.#driver, this.#path)
  }

  /** Another process may have the file locked for a moment, as when it creates the same tables. */
  async #open(): Promise<void> {
    // Where none is given, the work of a transaction gets what the type says that every driver has.
    this.#driver ??= (await nodeDriver()) as SqliteDriver<Database>
    const driver = this.#driver
    const deadline = performance.now() + this.#busyTimeoutMs
    while (!this.#openedWith(driver, performance.now() >= deadline)) await pause(2 + Math.random() * 8)
  }

  #openedWith(driver: SqliteDriver<Database>, isLastTry: boolean): boolean {
    if (this.#isClosed) throw new ClosedError()
    try {
      this.#file = openFile({ driver, path: this.#path, table: this.#table, migrate: this.#migrate }, (database) => {
        this.guarantee = guaranteeOf(database)
        const queue = new TransactionQueue({ database, busyTimeoutMs: this.#busyTimeoutMs, now: this.#now })
        return { database, queue, records: new SqliteRecords(database, this.#table) }
      })
      return true
    } catch (error) {
      if (isLastTry || !isLocked(error)) throw error
      return false
    }
  }
}

/** Loaded only when it is needed: other runtimes lack it, and Node 22 warns of it. */
async function nodeDriver(): Promise<SqliteDriver> {
  try {
    return (await import('node:sqlite')).DatabaseSync
  } catch (cause) {
    const remedy = "use Node 22.13 or newer, or give better-sqlite3's Database as driver"
    throw new StoreOpenError(`this runtime has no node:sqlite: ${remedy}`, { cause })
  }
}

async function sliceAfterSlice(slice: () => Promise<boolean>): Promise<void> {
  while (await slice()) await nextTurn()
}

function checkOptions(
  path: unknown,
  { driver, table = 'onceward', migrate = 'auto' }: Pick<SqliteOptions, 'table' | 'migrate'> & { driver?: unknown },
): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new OptionsError(`path must be a file's path, not ${JSON.stringify(path)}: give one such as 'onceward.db'`)
  if (driver !== undefined && typeof driver !== 'function')
    throw new OptionsError(
      `driver must be a class such as better-sqlite3's Database, not ${typeof driver}: give the class itself`,
    )
  if (typeof table !== 'string' || !/^(?!sqlite_)[a-z_][a-z0-9_]{0,39}$/i.test(table))
    throw new OptionsError(
      `table is ${JSON.stringify(table)}: give letters, digits and '_', at most 40, not beginning with a digit or 'sqlite_'`,
    )
  if (migrate !== 'auto' && migrate !== 'never')
    throw new OptionsError(`migrate is ${JSON.stringify(migrate)}: give 'auto' or 'never'`)
}

/** From the settings in force. */
function guaranteeOf(database: SqliteDatabase): Guarantee {
  const mode = String(pragma(database, 'journal_mode'))
  const synchronous = Number(pragma(database, 'synchronous'))
  if (mode === 'memory') return { tier: 'best-effort', reason: 'records are kept in this process (:memory:) and vanish with it' }
  if (synchronous < 2)
    return { tier: 'best-effort', reason: `synchronous=${synchronous}: a commit can be lost when the machine loses power` }
  const settings = `journal_mode=${mode}, synchronous=${synchronous === 2 ? 'FULL' : 'EXTRA'}`
  return {
    tier: 'atomic',
    reason: `${settings}: a commit is on the disk before it is acknowledged; effects elsewhere are fenced`,
  }
}
