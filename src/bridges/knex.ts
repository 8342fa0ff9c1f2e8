import type { Bridge } from '../core/bridge.ts'
import { TransactionTimeoutError } from '../core/errors.ts'

/** The members of Knex's `trx` that the bridge calls. */
export interface KnexTransaction {
  raw(sql: string, bindings: readonly unknown[]): PromiseLike<unknown>
  on(event: 'query-error', listener: (error: unknown) => void): unknown
  rollback(error: unknown): unknown
}

/**
 * The member of Knex that the bridge calls.
 * @template Trx what Knex hands to a transaction
 */
export interface KnexClient<Trx extends KnexTransaction> {
  transaction<Value>(work: (trx: Trx) => Promise<Value>): Promise<Value>
}

/** How long Knex may take to roll back before its caller is told. Milliseconds. */
const rollbackMs = 1_000
/** MySQL's and MariaDB's deadlock. */
const deadlock = 1213

/**
 * Transactions of Knex: `onceward({ store: mysql(pool), transactions: knex(db) })`. Its `trx` fails by itself once they have ended.
 * @param client what `knex({ client: 'mysql2', … })` gives, on the store's own database
 */
export function knex<Trx extends KnexTransaction>(client: KnexClient<Trx>): Bridge<Trx> {
  return {
    name: 'knex',
    transaction: async (work, { transactionMs }) => {
      let failed: { readonly error: unknown } | undefined
      const late = (): TransactionTimeoutError => new TransactionTimeoutError(transactionMs)
      const inside = async (trx: Trx): ReturnType<typeof work> => {
        // The server has rolled back then, and each further statement would commit by itself: none gets through.
        trx.on('query-error', (error) => {
          if (typeof error !== 'object' || error === null || !('errno' in error) || error.errno !== deadlock) return
          failed ??= { error }
          trx.rollback(error)
        })
        try {
          return await within(transactionMs, work(trx), late)
        } catch (error) {
          // Should rolling back fail as well, this is what is told.
          failed ??= { error }
          throw error
        }
      }
      try {
        return await within(transactionMs * 2 + rollbackMs, client.transaction(inside), late)
      } catch (error) {
        throw failed === undefined ? error : failed.error
      }
    },
    query: async (trx, sql, parameters) => rowsOf(await trx.raw(...knexWords(sql, parameters))),
  }
}

/** Knex has `?` for each value in the order of the text, where Postgres numbers them and has `?` for other things. */
function knexWords(sql: string, parameters: readonly unknown[]): [string, readonly unknown[]] {
  const numbered = [...sql.matchAll(/\$(\d+)/g)].map(([, place]) => parameters[Number(place) - 1])
  const isNumbered = parameters.length > 0 && numbered.length > 0
  const text = isNumbered ? sql.replaceAll('?', String.raw`\?`).replaceAll(/\$\d+/g, '?') : sql
  return [text, isNumbered ? numbered : parameters]
}

/** mysql2 answers with rows, or how many were changed, and the columns behind; pg with an object that has the rows. */
function rowsOf(answer: unknown): readonly Readonly<Record<string, unknown>>[] {
  const first: unknown = Array.isArray(answer) ? answer[0] : answer
  const rows: unknown = typeof first === 'object' && first !== null && 'rows' in first ? first.rows : first
  return (Array.isArray(rows) ? rows : [rows]).filter(isRow)
}

function isRow(row: unknown): row is Readonly<Record<string, unknown>> {
  return typeof row === 'object' && row !== null
}

async function within<Value>(boundMs: number, answer: Promise<Value>, late: () => Error): Promise<Value> {
  let timeout: ReturnType<typeof setTimeout> | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timeout = setTimeout(() => reject(late()), boundMs)
  })
  try {
    return await Promise.race([answer, tooLate])
  } finally {
    clearTimeout(timeout)
  }
}
