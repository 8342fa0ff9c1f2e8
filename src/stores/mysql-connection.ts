import { ClosedError, OptionsError, StoreDataError } from '../core/errors.ts'

/** How a statement is handed to the client: its whole text, and how its rows are to come back. */
export interface MysqlQuery {
  readonly sql: string
  readonly values: never[]
  readonly namedPlaceholders: boolean
  readonly rowsAsArray: boolean
  readonly nestTables: boolean
  readonly typeCast: boolean
}

/** How a prepared statement is handed to the client. */
export interface MysqlStatement {
  readonly sql: string
  /** Bytes are Buffers: the client takes nothing else for bytes. */
  readonly values: (number | Uint8Array | null)[]
  readonly namedPlaceholders: boolean
}

/** The members of a pool's connection that the store calls. */
export interface MysqlConnection {
  /** The same connection behind the wrapper that each `getConnection` makes anew. */
  readonly connection?: object
  query(query: MysqlQuery): Promise<unknown>
  execute(statement: MysqlStatement): Promise<unknown>
  release(): void
  destroy(): void
}

/**
 * The members of a pool that the store calls: that of `mysql2/promise` fits.
 * @template Connection what the work of a transaction gets
 */
export interface MysqlPool<Connection extends MysqlConnection = MysqlConnection> {
  getConnection(): Promise<Connection>
}

/** The pool of plain `mysql2`, with callbacks: it makes the other kind. */
export interface MysqlCallbackPool<Connection extends MysqlConnection = MysqlConnection> {
  promise(): MysqlPool<Connection>
}

/** A row by its columns' names. */
export type MysqlRow = Readonly<Record<string, unknown>>

/** A value by itself. */
export type SimpleValue = number | string | Uint8Array | null

/** What a `?` stands for. Strings are sent as the bytes of their UTF-8; a list becomes its members with commas between. */
export type MysqlValue = SimpleValue | SqlRows | readonly MysqlValue[]

/** How statements are sent. */
export interface MysqlSettings {
  /** Name of the table. */
  readonly table: string
  /** Added to the server's clock. Milliseconds. */
  readonly clockOffsetMs: () => number
  /** How long the statements of one call may take. Milliseconds. */
  readonly callTimeoutMs: number
}

/** MySQL's and MariaDB's errors that lead to different answers, by `errno`. */
export const errorNumbers = {
  duplicate: 1062,
  noSuchTable: 1146,
  noSuchColumn: 1054,
  packetTooLarge: 1153,
  lockWait: 1205,
  deadlock: 1213,
  changedSince: 1020,
} as const

/** A lock in the way, a deadlock, a row that changed since it was read: the statement did nothing, and can be made again. */
const conflicts: ReadonlySet<number | undefined> = new Set([1205, 1213, 1020, 3572])

/** `SERVER_STATUS_IN_TRANS` and `SERVER_STATUS_AUTOCOMMIT` of the protocol. */
const [inTransaction, autocommit] = [1, 2]

/** A statement's text with the table's own name, validated by `mysql()`. Backticks quote a name in every `sql_mode`. */
export function named(sql: string, table: string): string {
  return sql.replaceAll('`onceward', `\`${table}`)
}

/** Its statement's text, once for each row of values; made by `repeated`. */
export interface SqlRows {
  readonly sql: string
  readonly rows: readonly (readonly MysqlValue[])[]
  readonly between: string
}

/** A part of a statement, once for each row of values. */
export function repeated(sql: string, rows: readonly (readonly MysqlValue[])[], between = ','): SqlRows {
  return { sql, rows, between }
}

/**
 * The texts of statements: their values in the place of their question marks. Besides those, the table's name and the server's clock are
 * all that is put in, and here alone: milliseconds since 1970, whatever the session's time zone, which stand still within a statement.
 */
export class SqlTexts {
  readonly #settings: MysqlSettings
  readonly #known = new Map<string, readonly string[]>()
  readonly #opened = new Map<string, string>()
  #offsetMs = 0

  constructor(settings: MysqlSettings) {
    this.#settings = settings
  }

  /** Whether the clock is the server's own: a text with an offset is soon another one, and not worth preparing. */
  get isSteady(): boolean {
    return this.#settings.clockOffsetMs() === 0
  }

  /** With its values. */
  filled(sql: string, values: readonly MysqlValue[]): string {
    return this.#filled(this.#parts(sql), values)
  }

  /** With a question mark for each of its values; while the clock is steady. */
  open(sql: string): string {
    const known = this.#opened.get(sql)
    if (known !== undefined) return known
    const text = this.#parts(sql).join('?')
    this.#opened.set(sql, text)
    return text
  }

  #parts(sql: string): readonly string[] {
    const offsetMs = this.#settings.clockOffsetMs()
    if (offsetMs !== this.#offsetMs) this.#known.clear()
    this.#offsetMs = offsetMs
    const known = this.#known.get(sql)
    if (known !== undefined) return known
    const nowMs = `(TIMESTAMPDIFF(MICROSECOND, DATE'1970-01-01', UTC_TIMESTAMP(6)) DIV 1000 + ${literal(offsetMs)})`
    const parts = named(sql, this.#settings.table).replaceAll('NOW_MS', nowMs).split('?')
    this.#known.set(sql, parts)
    return parts
  }

  #filled(parts: readonly string[], values: readonly MysqlValue[]): string {
    if (parts.length !== values.length + 1) throw new TypeError(`${values.length} values for ${parts.length - 1} places`)
    let text = parts[0] ?? ''
    for (let index = 0; index < values.length; index += 1) text += this.#literal(values[index] ?? null) + (parts[index + 1] ?? '')
    return text
  }

  #literal(value: MysqlValue): string {
    if (isList(value)) return value.map((each) => this.#literal(each)).join()
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return literal(value)
    const parts = this.#parts(value.sql)
    return value.rows.map((row) => this.#filled(parts, row)).join(value.between)
  }
}

function bufferOf(value: string | Uint8Array): Buffer {
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

/** `Array.isArray` does not tell lists that are read-only. */
function isList(value: MysqlValue): value is readonly MysqlValue[] {
  return Array.isArray(value)
}

/**
 * Bytes and strings as hexadecimal, numbers as digits: no quote, no backslash, no other character than these, so that neither
 * `sql_mode` nor character sets nor collations play a part, and what is compared is bytes.
 */
function literal(value: number | string | Uint8Array | null): string {
  if (value === null) return 'NULL'
  if (typeof value !== 'number') return `x'${bufferOf(value).toString('hex')}'`
  return String(whole(value))
}

function whole(value: number): number {
  if (Number.isSafeInteger(value)) return value
  throw new StoreDataError(`${value} is no whole number that the database keeps`)
}

/** Statements on one connection, which is this call's own until it ends. */
export class MysqlSession {
  readonly #connection: MysqlConnection
  readonly #texts: SqlTexts
  readonly #prepares: boolean

  constructor(connection: MysqlConnection, texts: SqlTexts, prepares: boolean) {
    this.#connection = connection
    this.#texts = texts
    this.#prepares = prepares
  }

  /** The rows of a query. */
  async rows(sql: string, values: readonly MysqlValue[] = []): Promise<readonly MysqlRow[]> {
    const answer = await this.#answer(sql, values)
    if (!isRows(answer)) throw notMysql2()
    return answer
  }

  /**
   * Makes a change, committed when this resolves, and says how many rows it met.
   * @throws Error when the connection was handed over inside a transaction, or commits nothing by itself
   */
  async changes(sql: string, values: readonly MysqlValue[] = []): Promise<number> {
    return changesOf(await this.#answer(sql, values))
  }

  /** The same as a prepared statement, of which the server needs less time; none of its values is a list. */
  async change(sql: string, values: readonly SimpleValue[]): Promise<number> {
    if (!this.#prepares || !this.#texts.isSteady) return this.changes(sql, values)
    const bound = values.map((value) => (value === null ? null : typeof value === 'number' ? whole(value) : bufferOf(value)))
    const answer = await this.#connection.execute({ sql: this.#texts.open(sql), values: bound, namedPlaceholders: false })
    if (!Array.isArray(answer)) throw notMysql2()
    return changesOf(answer[0])
  }

  /** Whether bytes bound to a prepared statement reach the server as they are: old clients send them as text. */
  async takesBytes(): Promise<boolean> {
    const bytes = Buffer.from(Uint8Array.from({ length: 256 }, (_, index) => index))
    try {
      const answer = await this.#connection.execute({ sql: SAME_BYTES, values: [bytes], namedPlaceholders: false })
      const rows: unknown = Array.isArray(answer) ? answer[0] : undefined
      return isRows(rows) && Number(rows[0]?.['same']) === 1
    } catch (error) {
      if (errorNumber(error) === undefined) throw error
      return false
    }
  }

  async #answer(sql: string, values: readonly MysqlValue[]): Promise<unknown> {
    const text = this.#texts.filled(sql, values)
    const form = { values: [], namedPlaceholders: false, rowsAsArray: false, nestTables: false, typeCast: true }
    const answer = await this.#connection.query({ sql: text, ...form })
    if (!Array.isArray(answer)) throw notMysql2()
    return answer[0]
  }
}

const SAME_BYTES = `SELECT HEX(?) = '${Buffer.from(Uint8Array.from({ length: 256 }, (_, index) => index))
  .toString('hex')
  .toUpperCase()}' AS same`

function changesOf(answer: unknown): number {
  if (!isChange(answer)) throw notMysql2()
  const { affectedRows, serverStatus = autocommit } = answer
  if ((serverStatus & autocommit) === 0 || (serverStatus & inTransaction) !== 0)
    throw new Error(
      'the connection has autocommit off or is inside a transaction, so that nothing was committed: give the store a pool of its own',
    )
  return affectedRows
}

/** Lends connections of the application's pool, one for each call, and bounds what is done on them in time. */
export class MysqlCalls {
  readonly settings: MysqlSettings
  readonly #pool: MysqlPool
  readonly #ongoing = new Set<Promise<unknown>>()
  /** Connections that were told how long to wait for a lock. */
  readonly #told = new WeakSet<object>()
  readonly #texts: SqlTexts
  #tells = false
  #prepares = false
  #isClosed = false

  constructor(pool: MysqlPool, settings: MysqlSettings) {
    this.#pool = pool
    this.settings = settings
    this.#texts = new SqlTexts(settings)
  }

  /** What was found out of the server and the client. */
  set({ isMariadb, takesBytes }: { readonly isMariadb: boolean; readonly takesBytes: boolean }): void {
    this.#tells = !isMariadb
    this.#prepares = takesBytes
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * Does the work on a connection of its own. What fails without the server's word leaves unknown whether it was applied: the connection is
   * then destroyed, and never returned to the pool with an answer still on its way.
   */
  call<Result>(work: (session: MysqlSession) => Promise<Result>): Promise<Result> {
    if (this.#isClosed) return Promise.reject(new ClosedError())
    const ongoing = this.#bounded(work).finally(() => this.#ongoing.delete(ongoing))
    this.#ongoing.add(ongoing)
    return ongoing
  }

  /** Refuses new calls and waits for those on their way. The pool is the application's, and stays open. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#ongoing)
  }

  #bounded<Result>(work: (session: MysqlSession) => Promise<Result>): Promise<Result> {
    const { callTimeoutMs } = this.settings
    return new Promise((resolve, reject) => {
      const held: Held = { connection: undefined, isLate: false }
      const timer = setTimeout(() => {
        held.isLate = true
        held.connection?.destroy()
        reject(new Error(`no answer of the database within ${callTimeoutMs} ms`))
      }, callTimeoutMs)
      this.#worked(work, held)
        .then(resolve, reject)
        .finally(() => clearTimeout(timer))
    })
  }

  async #worked<Result>(work: (session: MysqlSession) => Promise<Result>, held: Held): Promise<Result> {
    const connection = await this.#pool.getConnection()
    if (held.isLate) {
      connection.release()
      throw new Error('the connection came too late')
    }
    held.connection = connection
    try {
      const session = new MysqlSession(connection, this.#texts, this.#prepares)
      if (this.#tells) await this.#tell(connection, session)
      const result = await work(session)
      if (!held.isLate) connection.release()
      return result
    } catch (error) {
      // Unless it was refused before it was sent, nobody knows what the server is doing: the connection is not for others.
      if (error instanceof StoreDataError && error.cause === undefined) connection.release()
      else connection.destroy()
      throw isDataRefused(error) ? dataError(error) : error
    }
  }

  /** MySQL takes the wait for a lock from the connection alone, a second at least: each is told once. MariaDB takes it from the statement. */
  async #tell(connection: MysqlConnection, session: MysqlSession): Promise<void> {
    const own = connection.connection ?? connection
    if (this.#told.has(own)) return
    await session.changes(WAIT_A_SECOND)
    this.#told.add(own)
  }
}

const WAIT_A_SECOND = `SET SESSION innodb_lock_wait_timeout = 1`

/** The connection of one call, and whether its time is up. */
interface Held {
  connection: MysqlConnection | undefined
  isLate: boolean
}

/** The pool to use, however it was given. @throws OptionsError */
export function poolOf(client: unknown): MysqlPool {
  const isObject = typeof client === 'object' && client !== null
  const remedy = "give the pool that createPool of 'mysql2/promise' makes"
  if (isObject && 'of' in client)
    throw new OptionsError(`client is a cluster of pools: an operation lives on one server: ${remedy}`)
  if (isCallbackPool(client)) return client.promise()
  if (isPool(client)) return client
  if (isObject && 'query' in client)
    throw new OptionsError(`client is a single connection, which could not be replaced when it fails: ${remedy}`)
  throw new OptionsError(`client is not a pool: ${remedy}`)
}

function isPool(client: unknown): client is MysqlPool {
  return typeof client === 'object' && client !== null && 'getConnection' in client && typeof client.getConnection === 'function'
}

function isCallbackPool(client: unknown): client is MysqlCallbackPool {
  return isPool(client) && 'promise' in client && typeof client.promise === 'function'
}

function isRows(answer: unknown): answer is readonly MysqlRow[] {
  return Array.isArray(answer) && answer.every((row) => typeof row === 'object' && row !== null && !Array.isArray(row))
}

function isChange(answer: unknown): answer is { readonly affectedRows: number; readonly serverStatus?: number } {
  return typeof answer === 'object' && answer !== null && 'affectedRows' in answer && typeof answer.affectedRows === 'number'
}

function notMysql2(): OptionsError {
  return new OptionsError("client answers not as mysql2 does: give the pool that createPool of 'mysql2/promise' makes")
}

/** The server's number of an error; undefined for one that is not the server's. */
export function errorNumber(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('sqlState' in error) || !('errno' in error)) return undefined
  return typeof error.errno === 'number' ? error.errno : undefined
}

/** Another's lock or change was in the way: the statement did nothing. */
export function isConflict(error: unknown): boolean {
  return conflicts.has(errorNumber(error))
}

/** The server's word that the data of the statement cannot be kept; SQLSTATE class 22. */
function isDataRefused(error: unknown): boolean {
  if (errorNumber(error) === errorNumbers.packetTooLarge) return true
  return error instanceof Error && 'sqlState' in error && String(error.sqlState).startsWith('22')
}

function dataError(cause: unknown): StoreDataError {
  const message = cause instanceof Error ? cause.message : String(cause)
  return new StoreDataError(`the database refused the data (${message}): give less or other data`, { cause })
}
