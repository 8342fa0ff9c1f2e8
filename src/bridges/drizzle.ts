import type { Bridge } from '../core/bridge.ts'
import { AttemptEndedError, OptionsError } from '../core/errors.ts'
import { bounded } from './bounded.ts'

/** The member of a transaction of Drizzle that the bridge calls. */
export interface DrizzleTransaction {
  execute(query: never): PromiseLike<unknown>
}

/** The member of a database of Drizzle that the bridge calls. */
export interface DrizzleDatabase<Tx extends DrizzleTransaction> {
  transaction<Value>(work: (tx: Tx) => Promise<Value>): Promise<Value>
}

/**
 * Transactions of Drizzle, for `onceward({ transactions: drizzle(db) })`. It has to be on a pool (or on what `postgres()` of postgres.js
 * returns, or a PGlite), in the store's own database.
 */
export function drizzle<Tx extends DrizzleTransaction>(db: DrizzleDatabase<Tx>): Bridge<Tx> {
  return {
    name: 'drizzle',
    transaction: async (work, { transactionMs }) =>
      db.transaction(async (tx) => {
        const end = guardSession(db, tx)
        const check = (): void => {}
        return bounded({ tx, end, check }, work, transactionMs)
      }),
    query: async (tx, sql, parameters) => rowsOf(await tx.execute(statement(sql, parameters))),
  }
}

/** Drizzle asks whatever it is given for its SQL, and that for its text and parameters. */
function statement(sql: string, parameters: readonly unknown[]): never {
  const query = { getSQL: () => ({ toQuery: () => ({ sql, params: [...parameters] }) }) }
  // The type is Drizzle's class, of which these two members are called.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return query as never
}

/** Each of its drivers answers in its own way: pg, PGlite; postgres.js; mysql2. */
function rowsOf(answer: unknown): readonly Readonly<Record<string, unknown>>[] {
  const rows: unknown = Array.isArray(answer) ? (Array.isArray(answer[0]) ? answer[0] : answer) : memberOf(answer, 'rows')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return rows as readonly Readonly<Record<string, unknown>>[]
}

/**
 * Builders and prepared statements send through the session that the transaction had. From the end of the work on its client takes nothing
 * but Drizzle's own commit or rollback: a late statement would follow that one, on its own.
 */
function guardSession(db: object, tx: object): () => void {
  const session: unknown = Reflect.get(tx, 'session')
  if (typeof session !== 'object' || session === null)
    throw new OptionsError('what is given to drizzle() is no database of Drizzle')
  if (session === Reflect.get(db, 'session'))
    throw new OptionsError('Drizzle is on a single connection, on which transactions would mix: give it a pool')
  const client: unknown = Reflect.get(session, 'client')
  if ((typeof client !== 'object' && typeof client !== 'function') || client === null)
    throw new OptionsError('a session of Drizzle has a client')
  listen(client)
  let ended = false
  const guarded = new Proxy(client, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function' || name === 'release') return member
      return (...given: unknown[]): unknown => {
        const ending = endingOf(given[0])
        if (ended && ending === undefined) throw new AttemptEndedError(`nothing was done on its transaction (${String(name)})`)
        const answer: unknown = Reflect.apply(member, target, given)
        return ending === 'commit' ? committed(answer) : answer
      }
    },
  })
  Reflect.set(session, 'client', guarded)
  return () => {
    ended = true
  }
}

const listened = new WeakSet()

/** The server may end a connection between two statements. The next statement is told; without a listener the process would end. */
function listen(client: object): void {
  const on: unknown = Reflect.get(client, 'on')
  if (typeof on !== 'function' || listened.has(client)) return
  listened.add(client)
  Reflect.apply(on, client, ['error', () => {}])
}

function endingOf(query: unknown): 'commit' | 'rollback' | undefined {
  const text: unknown = typeof query === 'string' ? query : (memberOf(query, 'text') ?? memberOf(query, 'sql'))
  return text === 'commit' || text === 'rollback' ? text : undefined
}

/** Postgres answers a commit by ROLLBACK, and no error, where a statement has failed. */
async function committed(answer: unknown): Promise<unknown> {
  const result: unknown = await answer
  if (memberOf(result, 'command') === 'ROLLBACK')
    throw new Error('the transaction was rolled back, since a statement in it had failed: await every statement')
  return result
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
