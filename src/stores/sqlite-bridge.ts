import { setTimeout as pause } from 'node:timers/promises'
import type { Bridge, TransactionBounds } from '../core/bridge.ts'
import { AttemptEndedError, TransactionTimeoutError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { isLocked, rollBack, type SqliteDatabase, type SqliteStatement, type SqliteValue } from './sqlite-file.ts'

/** What a bridge to a SQLite file is given. */
export interface SqliteBridgeOptions<Database extends SqliteDatabase> {
  /** Opens a connection of the bridge's own, at the first transaction. */
  readonly open: () => Database
  /** How long a transaction waits for its turn, and for the lock of another process. Milliseconds. */
  readonly busyTimeoutMs: number
}

/**
 * Transactions on a connection of their own, one after the other: none ever joins another, nor the application's other statements. Each
 * holds the file's write lock from its beginning to its end, in which nobody else writes to the file.
 */
export class SqliteBridge<Database extends SqliteDatabase> implements Bridge<Database> {
  readonly name = 'sqlite'
  readonly #options: SqliteBridgeOptions<Database>
  #connection: Database | undefined
  /** Ends with the last transaction so far. */
  #last: Promise<unknown> = Promise.resolve()
  #queued = 0
  /** Which of the connection's transactions each handle is for. */
  readonly #handles = new WeakMap<Database, Handle<Database>>()
  /** The store's own statements, prepared once a connection. */
  #statements = new Map<string, SqliteStatement>()

  constructor(options: SqliteBridgeOptions<Database>) {
    this.#options = options
  }

  async transaction<Value>(work: (tx: Database) => Promise<Value>, bounds: TransactionBounds): Promise<Value> {
    if (this.#queued >= limits.queueMax)
      throw new Error(`${limits.queueMax} transactions already wait for the file; nothing was done`)
    const deadline = performance.now() + this.#options.busyTimeoutMs
    this.#queued += 1
    const hasTurn = this.#queued === 1
    const turn = this.#last.then(() => {
      if (!hasTurn && performance.now() >= deadline) throw this.#tooLate()
      return this.#transact(work, bounds, deadline)
    })
    this.#last = turn.catch(() => {})
    try {
      return await turn
    } finally {
      this.#queued -= 1
    }
  }

  async query(tx: Database, sql: string, parameters: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const handle = this.#handles.get(tx)
    if (handle === undefined || handle.isEnded) throw new AttemptEndedError('nothing was done on its transaction')
    const statement = this.#statements.get(sql) ?? handle.connection.prepare(sql)
    this.#statements.set(sql, statement)
    const values = parameters as readonly SqliteValue[]
    if (!/^\s*SELECT/.test(sql)) return [{ changes: Number(statement.run(...values).changes) }]
    return statement.all(...values) as Readonly<Record<string, unknown>>[]
  }

  /** Resolves when the transactions asked for so far have ended. */
  async close(): Promise<void> {
    await this.#last
    this.#giveUp()
  }

  async #transact<Value>(
    work: (tx: Database) => Promise<Value>,
    { transactionMs }: TransactionBounds,
    deadline: number,
  ): Promise<Value> {
    const connection = await this.#begun(deadline)
    const handle: Handle<Database> = { connection, isEnded: false }
    const tx = handedOut(handle)
    this.#handles.set(tx, handle)
    let isCommitting = false
    try {
      const value = await within(transactionMs, work(tx))
      handle.isEnded = true
      isCommitting = true
      connection.exec('COMMIT')
      return value
    } catch (error) {
      handle.isEnded = true
      rollBack(connection)
      // Whether the commit happened is unknown, and the connection may not be what it was.
      if (isCommitting) this.#giveUp()
      throw error
    }
  }

  /** A connection inside a transaction. The thread never waits for the lock. */
  async #begun(deadline: number): Promise<Database> {
    for (;;) {
      try {
        this.#connection ??= this.#options.open()
        this.#connection.exec('BEGIN IMMEDIATE')
        return this.#connection
      } catch (error) {
        if (!isLocked(error)) {
          this.#giveUp()
          throw error
        }
        if (performance.now() >= deadline) throw this.#tooLate(error)
      }
      await pause(1 + Math.random())
    }
  }

  #tooLate(cause?: unknown): Error {
    return new Error(`the SQLite file was in use for ${this.#options.busyTimeoutMs} ms; the transaction did not begin`, { cause })
  }

  #giveUp(): void {
    const connection = this.#connection
    this.#connection = undefined
    this.#statements = new Map()
    try {
      connection?.close()
    } catch {
      // It is given up either way.
    }
  }
}

async function within<Value>(transactionMs: number, work: Promise<Value>): Promise<Value> {
  let timeout: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timeout = setTimeout(() => reject(new TransactionTimeoutError(transactionMs)), transactionMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timeout)
  }
}

/** A transaction of a connection. */
interface Handle<Database> {
  readonly connection: Database
  isEnded: boolean
}

/**
 * The connection as a transaction's work gets it. Once the transaction has ended it fails, rather than write outside of it, or into
 * another.
 */
function handedOut<Database extends SqliteDatabase>(handle: Handle<Database>): Database {
  const guarded = <Part extends object>(part: Part): Part =>
    new Proxy(part, {
      get: (target, name) => {
        if (handle.isEnded) throw new AttemptEndedError(`nothing was done on its transaction (${String(name)})`)
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        return (...given: unknown[]): unknown => {
          const result: unknown = Reflect.apply(member, target, given)
          return name === 'prepare' && typeof result === 'object' && result !== null ? guarded(result) : result
        }
      },
    })
  return guarded(handle.connection)
}
