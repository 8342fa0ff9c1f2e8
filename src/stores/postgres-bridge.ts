import type { Bridge, TransactionBounds } from '../core/bridge.ts'
import { TransactionTimeoutError } from '../core/errors.ts'
import { handleOf } from '../core/handle.ts'
import {
  isOfServer,
  isPgPool,
  isPostgresJs,
  unconfirmedCodes,
  UnconfirmedCommit,
  within,
  type PgConnection,
  type Pglite,
  type PgliteTransaction,
  type PgPool,
  type PostgresClient,
  type PostgresJs,
  type PostgresJsTransaction,
  type PostgresValue,
} from './postgres-clients.ts'

type Rows = readonly Readonly<Record<string, unknown>>[]

/** What the client itself hands to the body of a transaction. */
export type TransactionOf<Client> = Client extends {
  begin(options: string, work: (tx: infer Tx) => never): unknown
}
  ? Tx
  : Client extends { transaction(work: (tx: infer Tx) => Promise<never>): unknown }
    ? Tx
    : Client extends {
          connect(): Promise<infer Connection>
          connect(callback: (...given: never) => void): unknown
        }
      ? Connection
      : PgConnection

/** Transactions of the store's own client. */
export function bridgeOf(client: PostgresClient, answerMs: number): Bridge<unknown> {
  if (isPostgresJs(client)) return new PostgresJsBridge(client)
  if (isPgPool(client)) return new PgBridge(client, answerMs)
  return new PgliteBridge(client)
}

/** On a connection of the pool's, which nobody else has meanwhile. One whose state is in doubt is not given back. */
class PgBridge implements Bridge<PgConnection> {
  readonly name = 'pg'
  readonly #pool: PgPool
  readonly #answerMs: number

  constructor(pool: PgPool, answerMs: number) {
    this.#pool = pool
    this.#answerMs = answerMs
  }

  async transaction<Value>(work: (tx: PgConnection) => Promise<Value>, { transactionMs }: TransactionBounds): Promise<Value> {
    const connection = await this.#connection()
    const warnings = warningsOf(connection)
    const before = warnings.count
    const handle = handleOf(connection, { ignored: ['release'] })
    const state = { isBegun: false, isCommitting: false }
    let value: Value
    try {
      await within(this.#answerMs, connection.query('BEGIN'))
      state.isBegun = true
      value = await inTime(transactionMs, work(handle.tx))
      handle.end()
      state.isCommitting = true
      checkCommit(await within(this.#answerMs, connection.query('COMMIT')))
    } catch (error) {
      handle.end()
      connection.release((await this.#isClean(connection, error, state)) ? undefined : true)
      throw error
    }
    connection.release()
    if (warnings.count > before) throw new UnconfirmedCommit()
    return value
  }

  async query(tx: PgConnection, text: string, parameters: readonly unknown[]): Promise<Rows> {
    // What the store binds is of these types.
    const { rows } = await (tx as PgHandle).query({ text, values: [...parameters] as PostgresValue[] })
    return rows
  }

  /** Whether the transaction is over and the connection good for another. */
  async #isClean(
    connection: PgConnection,
    error: unknown,
    { isBegun, isCommitting }: { isBegun: boolean; isCommitting: boolean },
  ): Promise<boolean> {
    // A statement may still be on its way: it ends with its connection, and the transaction with it.
    if (error instanceof TransactionTimeoutError) return false
    // A commit that the server refused has rolled back. Of any other its end is unknown.
    if (isCommitting) return isOfServer(error)
    if (!isBegun) return false
    try {
      await within(this.#answerMs, connection.query('ROLLBACK'))
      return true
    } catch {
      // The first error is the one to tell.
      return false
    }
  }

  /** One that comes too late is given back. */
  async #connection(): Promise<PgConnection> {
    const connecting = this.#pool.connect()
    try {
      return await within(this.#answerMs, connecting)
    } catch (error) {
      connecting.then(
        (connection) => connection.release(),
        () => undefined,
      )
      throw error
    }
  }
}

/** How many warnings each connection has given of replication not waited for, whichever store listens. */
const warningsByConnection = new WeakMap<PgConnection, { count: number }>()

function warningsOf(connection: PgConnection): { readonly count: number } {
  const known = warningsByConnection.get(connection)
  if (known !== undefined) return known
  const warnings = { count: 0 }
  warningsByConnection.set(connection, warnings)
  connection.on('notice', ({ code }) => {
    if (code !== undefined && unconfirmedCodes.has(code)) warnings.count += 1
  })
  connection.on('error', () => {
    // The statement on its way is told; without a listener the process would end.
  })
  return warnings
}

/** A connection of pg, with the form of its answers that names the columns. */
interface PgHandle {
  query(query: { readonly text: string; readonly values: PostgresValue[] }): Promise<{ readonly rows: Rows }>
}

/** Postgres answers COMMIT by ROLLBACK, and no error, where a statement has failed. */
function checkCommit(answer: unknown): void {
  const command = typeof answer === 'object' && answer !== null && 'command' in answer ? answer.command : undefined
  if (command !== 'COMMIT')
    throw new Error('the transaction was rolled back, since a statement in it had failed: await every statement')
}

/** The client itself sends BEGIN and COMMIT, on a connection that it keeps for that. */
class PostgresJsBridge implements Bridge<PostgresJsTransaction> {
  readonly name = 'postgres.js'
  readonly #sql: PostgresJs

  constructor(sql: PostgresJs) {
    this.#sql = sql
  }

  async transaction<Value>(
    work: (tx: PostgresJsTransaction) => Promise<Value>,
    { transactionMs }: TransactionBounds,
  ): Promise<Value> {
    let result: { readonly value: Value } | undefined
    await this.#sql.begin(async (tx) => {
      result = { value: await guarded(tx, work, transactionMs) }
    })
    if (result === undefined) throw new Error('a transaction that was committed has run')
    return result.value
  }

  async query(tx: PostgresJsTransaction, text: string, parameters: readonly unknown[]): Promise<Rows> {
    return (await tx.unsafe(text, [...parameters] as PostgresValue[])) as Rows
  }
}

class PgliteBridge implements Bridge<PgliteTransaction> {
  readonly name = 'PGlite'
  readonly #database: Pglite

  constructor(database: Pglite) {
    this.#database = database
  }

  async transaction<Value>(
    work: (tx: PgliteTransaction) => Promise<Value>,
    { transactionMs }: TransactionBounds,
  ): Promise<Value> {
    return this.#database.transaction(async (tx) => guarded(tx, work, transactionMs))
  }

  async query(tx: PgliteTransaction, text: string, parameters: readonly unknown[]): Promise<Rows> {
    const { rows } = await tx.query(text, [...parameters] as PostgresValue[])
    return rows as Rows
  }
}

/** Runs the work on a handle that fails once it has ended, or its time is up. */
async function guarded<Tx extends object, Value>(
  tx: Tx,
  work: (tx: Tx) => Promise<Value>,
  transactionMs: number,
): Promise<Value> {
  const handle = handleOf(tx, { isPart: isLazy })
  try {
    return await inTime(transactionMs, work(handle.tx))
  } finally {
    handle.end()
  }
}

async function inTime<Value>(transactionMs: number, work: Promise<Value>): Promise<Value> {
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

/** A statement of postgres.js, which is sent when somebody awaits it. */
function isLazy(value: object): boolean {
  return value instanceof Promise && value.constructor !== Promise
}
