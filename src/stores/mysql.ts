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
import { checkBridge, identityOf, transact } from './mysql-atomic.ts'
import { MysqlBridge } from './mysql-bridge.ts'
import { MysqlCalls, poolOf, SqlTexts, type MysqlCallbackPool, type MysqlConnection, type MysqlPool } from './mysql-connection.ts'
import { MysqlRecords } from './mysql-records.ts'
import { checkClaims, checkSettlements, foundOf, idBytes, type Found } from './mysql-rows.ts'
import { openError, preparedServer, type MysqlServer } from './mysql-schema.ts'
import { SELECT_RECORDS } from './mysql-statements.ts'

export type { MysqlCallbackPool, MysqlConnection, MysqlPool, MysqlQuery } from './mysql-connection.ts'

/** Options of the MySQL store. */
export interface MysqlOptions {
  /** Name of the table of records: letters, digits and `_`, at most 40. A second one has `_schema` behind it. @default 'onceward' */
  readonly table?: string
  /** `never`: `open` creates nothing, and when the tables are missing its error shows the SQL to run. @default 'auto' */
  readonly migrate?: 'auto' | 'never'
  /** How long a call may take before its connection is destroyed and its answer counts as unknown. @default '5s' */
  readonly callTimeout?: Duration
  /** Added to the server's clock, by which leases and expiry are judged: for tests. Milliseconds. @default () => 0 */
  readonly clockOffsetMs?: () => number
}

/**
 * Remembers operations in a database of MariaDB (10.6 or newer) or MySQL (8.0 or newer), which any number of processes may share.
 * @param client the pool of `mysql2/promise`, or of `mysql2`; it stays the application's, and `close` does not end it
 * @throws OptionsError
 */
export function mysql<Connection extends MysqlConnection>(
  client: MysqlPool<Connection> | MysqlCallbackPool<Connection>,
  options: MysqlOptions = {},
): AtomicStore<Connection> {
  return new MysqlStore(client, options)
}

/** Translates the two tables into single statements, each a commit: see `mysql-records.ts` for how they stay one decision. */
class MysqlStore<Connection extends MysqlConnection> implements AtomicStore<Connection> {
  readonly name = 'mysql'
  readonly synchronous = false
  guarantee: Guarantee = { tier: 'best-effort', reason: 'the database has not been opened' }
  readonly bridge: MysqlBridge<Connection>
  readonly #calls: MysqlCalls
  readonly #texts: SqlTexts
  readonly #table: string
  readonly #migrate: 'auto' | 'never'
  #opening: Promise<void> | undefined
  #server: MysqlServer | undefined

  constructor(client: unknown, options: MysqlOptions) {
    const { table = 'onceward', migrate = 'auto', callTimeout = limits.storeTimeoutMs, clockOffsetMs = () => 0 } = options
    checkOptions(table, migrate)
    const callTimeoutMs = durationMs('callTimeout', callTimeout, { min: 1 })
    const settings = { table, clockOffsetMs, callTimeoutMs }
    const pool = poolOf(client)
    this.#calls = new MysqlCalls(pool, settings)
    this.#texts = new SqlTexts(settings)
    this.bridge = new MysqlBridge({
      // What the pool's connections are is known by its type alone.
      pool: pool as MysqlPool<Connection>,
      callTimeoutMs,
      isMariadb: () => this.#server?.isMariadb ?? false,
    })
    this.#table = table
    this.#migrate = migrate
  }

  async open(): Promise<void> {
    if (this.#calls.isClosed) throw new ClosedError()
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw openError(error)
    })
    return this.#opening
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    checkClaims(claims)
    if (claims.length === 0) return []
    return this.#with((records) => records.claim(claims))
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    checkSettlements(settlements, this.#opened().packetBytesMax)
    if (settlements.length === 0) return []
    return this.#with((records) => records.settle(settlements))
  }

  async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    if (ids.length === 0) return []
    return this.#with((records) => records.find(ids))
  }

  async list(filter: RecordFilter, limit: number, after = ''): Promise<RecordPage> {
    return this.#with(async (records) => {
      const found: RecordView[] = []
      let from: string | null = after
      while (from !== null && found.length <= limit) {
        // One more than asked for tells whether there is a next page.
        const { result, next } = await records.list({ filter, after: from, limit: limit + 1 - found.length })
        found.push(...result)
        from = next
      }
      const page = found.slice(0, limit)
      return { records: page, next: found.length > limit ? (page.at(-1)?.record.id ?? null) : null }
    })
  }

  async purge(filter: RecordFilter, limit: number): Promise<number> {
    return this.#with(async (records) => {
      let purged = 0
      let from: string | null = ''
      while (from !== null && purged < limit) {
        const { result, next } = await records.purge({ filter, after: from, limit: limit - purged })
        purged += result
        from = next
      }
      return purged
    })
  }

  async sweep(limit: number): Promise<number> {
    return this.#with((records) => records.sweep(limit))
  }

  async transaction<Tx>(request: TransactionRequest<Tx>): Promise<TransactionResult> {
    const { isMariadb, packetBytesMax } = this.#opened()
    const look = async (id: string): Promise<Found | null> => {
      const [row] = await this.#calls.call((session) => session.rows(SELECT_RECORDS, [1, idBytes(id), 1]))
      return row === undefined ? null : foundOf(row)
    }
    return transact(request, { texts: this.#texts, isMariadb, packetBytesMax, look })
  }

  async check<Tx>(bridge: Bridge<Tx>): Promise<void> {
    this.#opened()
    const own = await this.#calls.call((session) => identityOf((sql) => session.rows(sql)))
    await checkBridge(bridge, this.#texts, own)
  }

  async close(): Promise<void> {
    await this.#calls.close()
  }

  async #open(): Promise<void> {
    const options = { table: this.#table, migrate: this.#migrate }
    const server = await this.#calls.call((session) => preparedServer(session, options))
    this.#calls.set(server)
    this.guarantee = server.guarantee
    this.#server = server
  }

  #opened(): MysqlServer {
    if (this.#calls.isClosed) throw new ClosedError()
    if (this.#server === undefined) throw new StoreOpenError('the MySQL store is not open; nothing was done: call open() first')
    return this.#server
  }

  #with<Result>(work: (records: MysqlRecords) => Promise<Result>): Promise<Result> {
    const server = this.#opened()
    return this.#calls.call((session) => work(new MysqlRecords(session, server)))
  }
}

function checkOptions(table: unknown, migrate: unknown): void {
  if (typeof table !== 'string' || !/^[a-z_][a-z0-9_]{0,39}$/i.test(table))
    throw new OptionsError(
      `table is ${JSON.stringify(table)}: give letters, digits and '_', at most 40, not beginning with a digit`,
    )
  if (migrate !== 'auto' && migrate !== 'never')
    throw new OptionsError(`migrate is ${JSON.stringify(migrate)}: give 'auto' or 'never'`)
}
