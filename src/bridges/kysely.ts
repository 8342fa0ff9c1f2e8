import type { Bridge } from '../core/bridge.ts'
import { handleOf } from '../core/handle.ts'
import { bounded } from './bounded.ts'

/** The members of a transaction of Kysely that the bridge calls. */
export interface KyselyTransaction {
  executeQuery(query: never): Promise<{ readonly rows: readonly unknown[] }>
  withPlugin(plugin: never): unknown
}

/** The member of a Kysely that the bridge calls. */
export interface KyselyDatabase<Tx extends KyselyTransaction> {
  transaction(): { execute<Value>(work: (tx: Tx) => Promise<Value>): Promise<Value> }
}

/** Transactions of Kysely, for `onceward({ transactions: kysely(db) })`, in the store's own database. */
export function kysely<Tx extends KyselyTransaction>(db: KyselyDatabase<Tx>): Bridge<Tx> {
  return {
    name: 'kysely',
    transaction: async (work, { transactionMs }) =>
      db.transaction().execute(async (tx) => {
        const handle = handleOf(tx)
        // A builder that was made before the end is asked for its query when it is sent.
        const plugin = {
          transformQuery: ({ node }: { node: unknown }) => (handle.check('query'), node),
          transformResult: async ({ result }: { result: unknown }) => result,
        }
        // The types are Kysely's own: a plugin of these two members, and the same transaction with it.
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion
        const plugged = handleOf(tx.withPlugin(plugin as never) as Tx)
        const end = (): void => {
          handle.end()
          plugged.end()
        }
        return bounded({ ...plugged, end }, work, transactionMs)
      }),
    query: async (tx, sql, parameters) => {
      const { rows } = await tx.executeQuery(statement(sql, parameters))
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return rows as readonly Readonly<Record<string, unknown>>[]
    },
  }
}

/** What `CompiledQuery.raw` of Kysely gives. */
function statement(sql: string, parameters: readonly unknown[]): never {
  const query = {
    sql,
    parameters,
    query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
    queryId: { queryId: 'onceward' },
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return query as never
}
