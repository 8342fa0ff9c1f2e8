import { createHash } from 'node:crypto'
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
import { checkBridge, transact } from './postgres-atomic.ts'
import { bridgeOf, type TransactionOf } from './postgres-bridge.ts'
import { driverOf, type PostgresClient, type PostgresDriver } from './postgres-clients.ts'
import { PostgresListener } from './postgres-listener.ts'
import { PostgresRecords } from './postgres-records.ts'
import { IDENTITY, openError, openServer, type PostgresTables } from './postgres-schema.ts'
import { PostgresStatements, retrying } from './postgres-statements.ts'

export type { Pglite, PgConnection, PgPool, PgQuery, PostgresClient, PostgresJs, PostgresValue } from './postgres-clients.ts'

/** Options of the Postgres store. */
export interface PostgresOptions {
  /** Prefix of the tables' names: letters, digits and `_`, at most 40. Upper and lower case are two names. @default 'onceward' */
  readonly table?: string
  /** The schema they are in: letters, digits and `_`, at most 63. @default the first of the connection's search path */
  readonly schema?: string
  /** `never`: `open` creates nothing, and when the tables are missing its error shows the SQL to run. @default 'auto' */
  readonly migrate?: 'auto' | 'never'
  /**
   * Whether a process that waits for another's operation keeps a connection of the pool to be told (LISTEN). `false` behind a pooler
   * in transaction mode, which does not pass notifications on: there it polls.
   * @default true
   */
  readonly listen?: boolean
  /**
   * Whether frequent statements are named, so that they are parsed once a connection. Behind a pooler in transaction mode the store finds
   * out by itself that it had better not; `false` spares it the try.
   * @default true
   */
  readonly prepare?: boolean
  /** Added to the server's clock, by which leases and expiry are judged: for tests. Milliseconds. @default () => 0 */
  readonly clockOffsetMs?: () => number
}

/**
 * Remembers operations in a Postgres database, for any number of processes and machines.
 * @param client a `Pool` of pg, what `postgres()` of postgres.js returns, or a PGlite; it stays the application's, which ends it after
 * the store is closed. Of a Pool the application listens to `error`, as pg asks it to
 * @throws OptionsError
 */
export function postgres<Client extends PostgresClient>(
  client: Client,
  options: PostgresOptions = {},
): AtomicStore<TransactionOf<Client>> {
  return new PostgresStore<TransactionOf<Client>>(client, options)
}

/** What a store does beside its records: it opens, closes, and listens. */
class PostgresStore<Tx> implements AtomicStore<Tx> {
  readonly name = 'postgres'
  readonly synchronous = false
  guarantee: Guarantee = { tier: 'best-effort', reason: 'the database has not been opened' }
  /** Not there when the store was told not to listen: the engine then polls. */
  readonly watch?: (ids: readonly string[], signal: AbortSignal) => Promise<void>
  readonly bridge: Bridge<Tx>
  readonly #driver: PostgresDriver
  readonly #tables: PostgresTables
  /** Tells this table's advisory locks from another's. */
  readonly #salt: bigint
  readonly #migrate: 'auto' | 'never'
  readonly #statements: PostgresStatements
  readonly #listener: PostgresListener
  /** The calls on their way. */
  readonly #calls = new Set<Promise<unknown>>()
  #opening: Promise<void> | undefined
  #records: PostgresRecords | undefined
  #isClosed = false

  constructor(client: PostgresClient, options: PostgresOptions) {
    checkOptions(options)
    const { table = 'onceward', schema = null, migrate = 'auto', listen = true, prepare = true } = options
    const answerMs = 2 * limits.storeTimeoutMs
    this.#driver = driverOf(client, { prepare, answerMs })
    // The client's type says what its transactions hand out.
    this.bridge = bridgeOf(client, answerMs) as Bridge<Tx>
    this.#tables = { schema, table }
    this.#salt = createHash('sha256').update(JSON.stringify(this.#tables)).digest().readBigInt64BE(0)
    this.#migrate = migrate
    this.#statements = new PostgresStatements(this.#driver, this.#tables, options.clockOffsetMs ?? (() => 0))
    this.#listener = new PostgresListener(this.#driver, table)
    if (listen) this.watch = async (ids, signal) => this.#listener.watch(ids, signal)
  }

  async open(): Promise<void> {
    if (this.#isClosed) throw new ClosedError()
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw openError(error)
    })
    return this.#opening
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    return this.#call(async (records) => records.claim(claims))
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    return this.#call(async (records) => records.settle(settlements))
  }

  async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    return this.#call(async (records) => records.views(ids))
  }

  async list(filter: RecordFilter, limit: number, after = ''): Promise<RecordPage> {
    return this.#call(async (records) => {
      const meant: string[] = []
      // One more than asked for tells whether there is a next page.
      for await (const { read } of records.meant(filter, after)) if (meant.push(read.record.id) > limit) break
      const page = meant.slice(0, limit)
      const views = await records.views(page)
      return { records: views.filter((view) => view !== null), next: meant.length > limit ? (page.at(-1) ?? null) : null }
    })
  }

  async purge(filter: RecordFilter, limit: number): Promise<number> {
    return this.#call(async (records) => records.purge(filter, limit))
  }

  async sweep(limit: number): Promise<number> {
    return this.#call(async (records) => records.sweep(limit))
  }

  async transaction<Other>(request: TransactionRequest<Other>): Promise<TransactionResult> {
    return this.#call(async () => {
      const statements = this.#statements
      await statements.confirm()
      try {
        return await transact(request, { tables: this.#tables, salt: this.#salt, offset: statements.offset })
      } catch (error) {
        statements.note(error)
        throw error
      }
    })
  }

  async check<Other>(bridge: Bridge<Other>): Promise<void> {
    return this.#call(async () => {
      const [row] = await this.#statements.query(IDENTITY, [])
      await checkBridge(bridge, this.#tables, row?.[0])
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    // What failed to open has told its own caller.
    await this.#opening?.catch(() => undefined)
    await this.#listener.close()
    // Whatever fails there is told to its own caller.
    await Promise.allSettled(this.#calls)
  }

  async #open(): Promise<void> {
    const { guarantee, locksMax } = await openServer(retrying(this.#driver), this.#tables, this.#migrate)
    this.guarantee = guarantee
    this.#records = new PostgresRecords({ statements: this.#statements, channel: this.#tables.table, salt: this.#salt, locksMax })
  }

  /** One call, which `close` waits for. */
  async #call<Result>(make: (records: PostgresRecords) => Promise<Result>): Promise<Result> {
    if (this.#isClosed) throw new ClosedError()
    if (this.#records === undefined)
      throw new StoreOpenError('the Postgres store is not open; nothing was done: call open() first')
    const call = make(this.#records)
    this.#calls.add(call)
    try {
      return await call
    } finally {
      this.#calls.delete(call)
    }
  }
}

function checkOptions({ table = 'onceward', schema, migrate = 'auto' }: PostgresOptions): void {
  if (typeof table !== 'string' || !/^[a-z_][a-z0-9_]{0,39}$/i.test(table))
    throw new OptionsError(
      `table is ${JSON.stringify(table)}: give letters, digits and '_', at most 40, not beginning with a digit`,
    )
  if (schema !== undefined && (typeof schema !== 'string' || !/^[a-z_][a-z0-9_]{0,62}$/i.test(schema)))
    throw new OptionsError(
      `schema is ${JSON.stringify(schema)}: give letters, digits and '_', at most 63, not beginning with a digit`,
    )
  if (migrate !== 'auto' && migrate !== 'never')
    throw new OptionsError(`migrate is ${JSON.stringify(migrate)}: give 'auto' or 'never'`)
}
