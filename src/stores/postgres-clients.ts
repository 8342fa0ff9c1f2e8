import { createHash } from 'node:crypto'
import { OptionsError } from '../core/errors.ts'

/** A value of a statement's parameter. Each is cast in the SQL, so that every client sends it alike: as text, or as bytes. */
export type PostgresValue = string | Uint8Array | null

/** A row, by the position of its columns: some clients rename those. */
export type PostgresRow = readonly unknown[]

/** A statement as `pg` takes it. */
export interface PgQuery {
  readonly text: string
  readonly values?: PostgresValue[]
  readonly name?: string
  readonly rowMode: 'array'
}

/** The members of a connection of `pg` that the store calls. */
export interface PgConnection {
  query(query: PgQuery): Promise<{ readonly rows: readonly unknown[] }>
  query(text: string): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'notice', listener: (notice: { readonly code?: string | undefined }) => void): unknown
  on(
    event: 'notification',
    listener: (message: { readonly channel: string; readonly payload?: string | undefined }) => void,
  ): unknown
  release(error?: Error | boolean): void
}

/** The members of a `Pool` of `pg` that the store calls. */
export interface PgPool {
  connect(): Promise<PgConnection>
  readonly totalCount: number
  readonly options: { readonly max?: number | null | undefined }
}

/** The members of postgres.js that the store calls. */
export interface PostgresJs {
  unsafe(
    text: string,
    values?: PostgresValue[],
    options?: { readonly prepare?: boolean },
  ): { values(): PromiseLike<readonly PostgresRow[]>; simple(): PromiseLike<unknown> }
  listen(channel: string, onNotify: (payload: string) => void): PromiseLike<{ unlisten(): PromiseLike<void> }>
  begin(work: (tx: PostgresJsTransaction) => Promise<void>): PromiseLike<unknown>
}

/** The member of a transaction of postgres.js that the store calls. */
export interface PostgresJsTransaction {
  unsafe(text: string, values?: PostgresValue[]): PromiseLike<readonly object[]>
}

/** The members of a PGlite that the store calls. */
export interface Pglite {
  query(
    text: string,
    values: PostgresValue[],
    options: { readonly rowMode: 'array' },
  ): Promise<{ readonly rows: readonly unknown[] }>
  exec(text: string): Promise<unknown>
  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>>
  transaction<Value>(work: (tx: PgliteTransaction) => Promise<Value>): Promise<Value>
  readonly dataDir?: string
}

/** The member of a transaction of PGlite that the store calls. */
export interface PgliteTransaction {
  query(text: string, values: PostgresValue[]): Promise<{ readonly rows: readonly unknown[] }>
}

/** A database as the application already has it: a `Pool` of `pg`, a `postgres()` of postgres.js, or a PGlite. */
export type PostgresClient = PgPool | PostgresJs | Pglite

/** What a subscription to a channel is told. */
export interface Subscriber {
  readonly onNotify: (payload: string) => void
  /** The subscription ended by itself; nothing more comes. */
  readonly onLost: () => void
}

/** One kind of client, as the store speaks to it. */
export interface PostgresDriver {
  readonly kind: 'pg' | 'postgres.js' | 'PGlite'
  /** One statement, a transaction of its own. Rejects also when it was committed but its replication not waited for, where the client tells. */
  query(text: string, values: PostgresValue[], isFrequent?: boolean): Promise<readonly PostgresRow[]>
  /** Statements without parameters in one transaction. */
  script(text: string): Promise<void>
  /** Resolves to the end of the subscription; undefined where there is no connection to spare for it. */
  subscribe(channel: string, subscriber: Subscriber): Promise<(() => Promise<void>) | undefined>
}

/** How statements are sent. */
export interface DriverOptions {
  /** Frequent statements are named: parsed once a connection, until it is seen that they are not found again. */
  readonly prepare: boolean
  /** Without an answer for this long a connection is given up, where the client allows it. Milliseconds. */
  readonly answerMs: number
}

/**
 * The driver for a client, told by its members.
 * @throws OptionsError for another kind of client
 */
export function driverOf(client: unknown, options: DriverOptions): PostgresDriver {
  if (isPostgresJs(client)) return new PostgresJsDriver(client, options)
  if (isPglite(client)) return new PgliteDriver(client)
  if (isPgPool(client)) return new PgDriver(client, options)
  const given = has(client, 'connect', 'query') ? 'a single connection' : describe(client)
  throw new OptionsError(
    `the client is ${given}: give a Pool of pg, what postgres() of postgres.js returns, or a PGlite (a single Client of pg will not do)`,
  )
}

/** Warnings with which a commit says that it did not wait for its replication: cancelled by a user (01000), or by an administrator. */
export const unconfirmedCodes: ReadonlySet<string> = new Set(['01000', '57P01'])

/** A commit that is on the primary, and perhaps on no replica: it happened, but not as durably as was promised. */
export class UnconfirmedCommit extends Error {
  constructor() {
    super('the wait for synchronous replication was cancelled: what was written may be lost in a failover')
  }
}

/**
 * A connection is taken for each statement rather than `pool.query` called: only so are its warnings seen, and can one that does
 * not answer be given up.
 */
class PgDriver implements PostgresDriver {
  readonly kind = 'pg'
  readonly #pool: PgPool
  readonly #options: DriverOptions
  /** How many warnings each connection has given of replication not waited for. */
  readonly #warnings = new WeakMap<PgConnection, { count: number }>()
  readonly #names = new Map<string, string>()
  readonly #naming: Naming

  constructor(pool: PgPool, options: DriverOptions) {
    this.#pool = pool
    this.#options = options
    this.#naming = new Naming(options.prepare)
  }

  async query(text: string, values: PostgresValue[], isFrequent = false): Promise<readonly PostgresRow[]> {
    return this.#naming.send(isFrequent, async (isNamed) => {
      const query: PgQuery = { text, values, rowMode: 'array', ...(isNamed && { name: this.#nameOf(text) }) }
      const { rows } = await this.#with(async (connection) => connection.query(query))
      return rows as readonly PostgresRow[]
    })
  }

  async script(text: string): Promise<void> {
    await this.#with(async (connection) => connection.query(text))
  }

  async subscribe(channel: string, { onNotify, onLost }: Subscriber): Promise<(() => Promise<void>) | undefined> {
    if ((this.#pool.options.max ?? 10) < 2) return undefined
    const connection = await this.#connection()
    let isOver = false
    const end = (): void => {
      if (isOver) return
      isOver = true
      // It is not given back: it would go on listening in another's hands.
      connection.release(true)
    }
    const lost = (): void => {
      if (isOver) return
      end()
      onLost()
    }
    connection.on('error', lost)
    connection.on('notification', (message) => {
      if (!isOver && message.channel === channel && message.payload !== undefined) onNotify(message.payload)
    })
    try {
      await connection.query(`LISTEN "${channel}"`)
    } catch (error) {
      end()
      throw error
    }
    return async () => end()
  }

  /** A connection that failed is not given back: what it still has to say would be taken for the answer to another statement. */
  async #with<Result>(use: (connection: PgConnection) => Promise<Result>): Promise<Result> {
    const connection = await this.#connection()
    const warnings = this.#warningsOf(connection)
    const before = warnings.count
    let result: Result
    try {
      result = await within(this.#options.answerMs, use(connection))
    } catch (error) {
      connection.release(isOfServer(error) ? undefined : true)
      throw error
    }
    connection.release()
    if (warnings.count > before) throw new UnconfirmedCommit()
    return result
  }

  /** One that comes too late is given back. */
  async #connection(): Promise<PgConnection> {
    const connecting = this.#pool.connect()
    try {
      return await within(this.#options.answerMs, connecting)
    } catch (error) {
      connecting.then(
        (connection) => connection.release(),
        () => undefined,
      )
      throw error
    }
  }

  #warningsOf(connection: PgConnection): { readonly count: number } {
    const known = this.#warnings.get(connection)
    if (known !== undefined) return known
    const warnings = { count: 0 }
    this.#warnings.set(connection, warnings)
    connection.on('notice', ({ code }) => {
      if (code !== undefined && unconfirmedCodes.has(code)) warnings.count += 1
    })
    connection.on('error', () => {
      // The statement on its way is told; without a listener the process would end. Of an idle connection the pool tells its own.
    })
    return warnings
  }

  /** Of the text itself: through a pooler a name may meet a statement that another process gave it. */
  #nameOf(text: string): string {
    const name = this.#names.get(text) ?? `onceward_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
    this.#names.set(text, name)
    return name
  }
}

class PostgresJsDriver implements PostgresDriver {
  readonly kind = 'postgres.js'
  readonly #sql: PostgresJs
  readonly #naming: Naming

  constructor(sql: PostgresJs, { prepare }: DriverOptions) {
    this.#sql = sql
    this.#naming = new Naming(prepare)
  }

  async query(text: string, values: PostgresValue[], isFrequent = false): Promise<readonly PostgresRow[]> {
    return this.#naming.send(isFrequent, async (prepare) => this.#sql.unsafe(text, values, { prepare }).values())
  }

  async script(text: string): Promise<void> {
    await this.#sql.unsafe(text).simple()
  }

  /** On a connection of its own, which postgres.js makes again by itself when it is lost. */
  async subscribe(channel: string, { onNotify }: Subscriber): Promise<() => Promise<void>> {
    const subscription = await this.#sql.listen(channel, onNotify)
    return async () => subscription.unlisten()
  }
}

class PgliteDriver implements PostgresDriver {
  readonly kind = 'PGlite'
  readonly #database: Pglite

  constructor(database: Pglite) {
    this.#database = database
  }

  async query(text: string, values: PostgresValue[]): Promise<readonly PostgresRow[]> {
    const { rows } = await this.#database.query(text, values, { rowMode: 'array' })
    return rows as readonly PostgresRow[]
  }

  async script(text: string): Promise<void> {
    await this.#database.exec(text)
  }

  async subscribe(channel: string, { onNotify }: Subscriber): Promise<() => Promise<void>> {
    return this.#database.listen(`"${channel}"`, onNotify)
  }
}

/**
 * Whether statements are named. A pooler in transaction mode may give the next one another connection, which does not know the name
 * (26000), or knows it already (42P05): then nothing was executed, and from then on no statement is named.
 */
class Naming {
  #isOn: boolean

  constructor(isOn: boolean) {
    this.#isOn = isOn
  }

  async send<Result>(isFrequent: boolean, send: (isNamed: boolean) => Promise<Result>): Promise<Result> {
    if (!this.#isOn || !isFrequent) return send(false)
    try {
      return await send(true)
    } catch (error) {
      const state = sqlState(error)
      if (state !== '26000' && state !== '42P05') throw error
      this.#isOn = false
      return send(false)
    }
  }
}

/** The five characters of an error that the server itself gave; undefined for any other. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  return 'severity' in error && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined
}

/** The server answered, and its connection is good for the next statement. Classes 57 and 08: it is being ended. */
export function isOfServer(error: unknown): boolean {
  const state = sqlState(error)
  return state !== undefined && !/^(57P|08)/.test(state)
}

/** @throws Error when there is no answer in time; it is given up then */
export function within<Result>(ms: number, answer: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const tooLate = setTimeout(() => reject(new Error(`no answer within ${ms} ms: the connection is given up`)), ms)
    answer.then(resolve, reject).finally(() => clearTimeout(tooLate))
  })
}

/** Whether it is what `postgres()` of postgres.js returns. */
export function isPostgresJs(client: unknown): client is PostgresJs {
  return typeof client === 'function' && has(client, 'unsafe', 'listen', 'begin')
}

function isPglite(client: unknown): client is Pglite {
  return has(client, 'query', 'exec', 'listen')
}

/** Whether it is a `Pool` of pg. */
export function isPgPool(client: unknown): client is PgPool {
  return has(client, 'connect', 'query') && 'totalCount' in client && 'options' in client
}

function has(client: unknown, ...methods: readonly string[]): client is object {
  if ((typeof client !== 'object' && typeof client !== 'function') || client === null) return false
  return methods.every((name) => typeof Reflect.get(client, name) === 'function')
}

function describe(client: unknown): string {
  if (client === null || client === undefined) return String(client)
  return typeof client === 'object' ? `an object of class ${client.constructor?.name ?? 'none'}` : `a ${typeof client}`
}
