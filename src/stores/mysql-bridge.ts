import type { Bridge, TransactionBounds } from '../core/bridge.ts'
import { AttemptEndedError, TransactionTimeoutError } from '../core/errors.ts'
import { errorNumber, errorNumbers, type MysqlConnection, type MysqlPool, type MysqlRow } from './mysql-connection.ts'

/** What a bridge to a pool is given. */
export interface MysqlBridgeOptions<Connection extends MysqlConnection> {
  readonly pool: MysqlPool<Connection>
  /** How long a transaction waits for a connection, and for the server's word on its beginning and its end. Milliseconds. */
  readonly callTimeoutMs: number
  /** Whether the server can bound a transaction; known once the store is open. */
  readonly isMariadb: () => boolean
}

/**
 * Begins a transaction that the server itself rolls back when its client stands still, and in which no statement runs on for long when
 * nobody waits for it any more. One statement, so that it costs what a bare one does; MySQL has nothing of the kind.
 */
const BEGIN_BOUNDED = `
BEGIN NOT ATOMIC
  SET @onceward_idle = @@SESSION.idle_transaction_timeout, @onceward_statement = @@SESSION.max_statement_time,
    SESSION idle_transaction_timeout = SECONDS, SESSION max_statement_time = SECONDS;
  START TRANSACTION;
END`
/** The session is the application's again, as it was. */
const COMMIT_BOUNDED = `
BEGIN NOT ATOMIC
  COMMIT;
  SET SESSION idle_transaction_timeout = @onceward_idle, SESSION max_statement_time = @onceward_statement;
END`
const ROLLBACK_BOUNDED = `
BEGIN NOT ATOMIC
  ROLLBACK;
  SET SESSION idle_transaction_timeout = @onceward_idle, SESSION max_statement_time = @onceward_statement;
END`

/** How long a transaction that failed waits for the statement that may still be running in it. Milliseconds. */
const rollbackMs = 1_000

/** Transactions on connections of the pool, each with one of its own from its beginning to its end: none ever joins another. */
export class MysqlBridge<Connection extends MysqlConnection> implements Bridge<Connection> {
  readonly name = 'mysql2'
  readonly #options: MysqlBridgeOptions<Connection>

  constructor(options: MysqlBridgeOptions<Connection>) {
    this.#options = options
  }

  async transaction<Value>(work: (tx: Connection) => Promise<Value>, { transactionMs }: TransactionBounds): Promise<Value> {
    const connection = await this.#borrowed()
    const handle = handleOf(connection)
    const { begin, commit, rollback } = this.#words(transactionMs)
    let isOpen = false
    try {
      await this.#told(connection, begin, this.#options.callTimeoutMs)
      isOpen = true
      const value = await within(transactionMs, work(handle.tx), () => new TransactionTimeoutError(transactionMs))
      handle.end()
      if (handle.lost !== undefined) throw handle.lost
      isOpen = false
      await this.#told(connection, commit, this.#options.callTimeoutMs)
      connection.release()
      return value
    } catch (error) {
      handle.end()
      const isRolledBack = isOpen && (await this.#told(connection, rollback, rollbackMs).then(yes, no))
      // Where the server's word is missing nobody knows what it is doing there; without its client it rolls back what was not committed.
      if (isRolledBack) connection.release()
      else connection.destroy()
      throw handle.lost ?? error
    }
  }

  async query(tx: Connection, sql: string, parameters: readonly unknown[]): Promise<readonly MysqlRow[]> {
    const form = { namedPlaceholders: false, rowsAsArray: false, nestTables: false, typeCast: true }
    // The store puts its values into the text; what others bind is the client's to judge.
    const answer = await tx.query({ sql, values: [...parameters] as never[], ...form })
    const rows: unknown = Array.isArray(answer) ? answer[0] : undefined
    // What changed rows answers how many, in one row of its own.
    return (Array.isArray(rows) ? rows : [rows]).filter(isRow)
  }

  /** A connection of the pool's; one that comes too late goes back. */
  async #borrowed(): Promise<Connection> {
    const { pool, callTimeoutMs } = this.#options
    const asked = pool.getConnection()
    try {
      return await within(
        callTimeoutMs,
        asked,
        () => new Error(`no connection of the pool within ${callTimeoutMs} ms; nothing was begun`),
      )
    } catch (error) {
      asked.then((connection) => connection.release()).catch(() => {})
      throw error
    }
  }

  async #told(connection: Connection, sql: string, boundMs: number): Promise<void> {
    await within(boundMs, this.query(connection, sql, []), () => new Error(`no answer of the database within ${boundMs} ms`))
  }

  /** The server's bound is a second later than this process's own: it is for a process that stands still. */
  #words(transactionMs: number): { readonly begin: string; readonly commit: string; readonly rollback: string } {
    if (!this.#options.isMariadb()) return { begin: 'START TRANSACTION', commit: 'COMMIT', rollback: 'ROLLBACK' }
    const seconds = Math.ceil(transactionMs / 1_000) + 1
    return { begin: BEGIN_BOUNDED.replaceAll('SECONDS', String(seconds)), commit: COMMIT_BOUNDED, rollback: ROLLBACK_BOUNDED }
  }
}

const yes = (): boolean => true
const no = (): boolean => false

function isRow(row: unknown): row is MysqlRow {
  return typeof row === 'object' && row !== null
}

async function within<Value>(boundMs: number, answer: Promise<Value>, late: () => Error): Promise<Value> {
  let timeout: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timeout = setTimeout(() => reject(late()), boundMs)
  })
  try {
    return await Promise.race([answer, tooLate])
  } finally {
    clearTimeout(timeout)
  }
}

/** What would end the transaction behind the store's back, or give its connection to others. */
const notTheHandlers: ReadonlySet<string | symbol> = new Set<string | symbol>([
  'beginTransaction',
  'commit',
  'rollback',
  'release',
  'destroy',
  'end',
  'changeUser',
  'reset',
  Symbol.asyncDispose,
  Symbol.dispose,
])

/** The same as text; a savepoint is the handler's own. */
const endsTransaction = /^\s*(commit|rollback(?!\s+(work\s+)?to\s)|start\s+transaction|begin(?!\s+not\s))\b/i

/** The connection as a transaction's work gets it. */
interface Handle<Connection> {
  readonly tx: Connection
  /** A deadlock of a statement, whatever the work makes of it. */
  readonly lost: Error | undefined
  end(): void
}

/**
 * Once the transaction has ended its connection fails, rather than write outside of it or into another. So it does after a deadlock, by
 * which the server has rolled the transaction back: each further statement would commit by itself.
 */
function handleOf<Connection extends MysqlConnection>(connection: Connection): Handle<Connection> {
  let ended = false
  let lost: Error | undefined
  const answered = (result: unknown, name: string | symbol): unknown => {
    if (!(result instanceof Promise)) return result
    result.catch((error: unknown) => {
      if (error instanceof Error && errorNumber(error) === errorNumbers.deadlock) lost ??= error
    })
    return name === 'prepare' ? result.then((statement: unknown) => (isRow(statement) ? guarded(statement) : statement)) : result
  }
  const guarded = <Part extends object>(part: Part): Part =>
    new Proxy(part, {
      get: (target, name) => {
        if (ended) throw new AttemptEndedError(`nothing was done on its transaction (${String(name)})`)
        if (lost !== undefined) throw lost
        if (notTheHandlers.has(name)) throw notYours(String(name))
        const member: unknown = Reflect.get(target, name, target)
        if (name === 'connection' && isRow(member)) return guarded(member)
        if (typeof member !== 'function') return member
        return (...given: unknown[]): unknown => {
          const [statement] = given
          const sql = isRow(statement) ? statement['sql'] : statement
          if ((name === 'query' || name === 'execute') && typeof sql === 'string' && endsTransaction.test(sql))
            throw notYours(sql)
          return answered(Reflect.apply(member, target, given), name)
        }
      },
    })
  return {
    tx: guarded(connection),
    get lost() {
      return lost
    },
    end: () => {
      ended = true
    },
  }
}

function notYours(what: string): TypeError {
  const how = 'its transaction commits when it returns, and is rolled back when it throws'
  return new TypeError(`${what} is not the handler's to call: ${how}`)
}
