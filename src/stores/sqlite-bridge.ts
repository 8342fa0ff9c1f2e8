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
  readonly #statements = new WeakMap<object, Map<string, SqliteStatement>>()

  constructor(options: SqliteBridgeOptions<Database>) {
    this.#options = options
  }

  async transaction<Value>(work: (tx: Database) => Promise<Value>, bounds: TransactionBounds): Promise<Value> {
    if (this.#queued >= limits.queueMax)
      throw new Error(`${limits.queueMax} transactions already wait for the file; nothing was done`)
    const deadline = performance.now() + this.#options.busyTimeoutMs
    this.#queued += 1
    const turn = this.#last.then(() => this.#transact(work, bounds, deadline))
    this.#last = turn.catch(() => {})
    try {
      return await turn
    } finally {
      this.#queued -= 1
    }
  }

  /** Statements are prepared once for each transaction's handle. */
  async query(tx: Database, sql: string, parameters: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const known = this.#statements.get(tx) ?? new Map<string, SqliteStatement>()
    this.#statements.set(tx, known)
    const statement = known.get(sql) ?? tx.prepare(sql)
    known.set(sql, statement)
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
    const handle = handleOf(connection)
    let isCommitting = false
    try {
      const value = await within(transactionMs, work(handle.tx))
      handle.end()
      isCommitting = true
      connection.exec('COMMIT')
      return value
    } catch (error) {
      handle.end()
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
        if (performance.now() >= deadline)
          throw new Error(`the SQLite file was locked for ${this.#options.busyTimeoutMs} ms; the transaction did not begin`, {
            cause: error,
          })
      }
      await pause(1 + Math.random())
    }
  }

  #giveUp(): void {
    const connection = this.#connection
    this.#connection = undefined
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

/**
 * The connection as a transaction's work gets it. Once the transaction has ended it fails, rather than write outside of it, or into
 * another.
 */
function handleOf<Database extends SqliteDatabase>(connection: Database): { readonly tx: Database; end(): void } {
  let ended = false
  const guarded = <Part extends object>(part: Part): Part =>
    new Proxy(part, {
      get: (target, name) => {
        if (ended) throw new AttemptEndedError(`nothing was done on its transaction (${String(name)})`)
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        return (...given: unknown[]): unknown => {
          const result: unknown = Reflect.apply(member, target, given)
          return name === 'prepare' && typeof result === 'object' && result !== null ? guarded(result) : result
        }
      },
    })
  return {
    tx: guarded(connection),
    end: () => {
      ended = true
    },
  }
}
