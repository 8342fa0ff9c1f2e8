import type { Bridge } from '../core/bridge.ts'
import { handleOf } from '../core/handle.ts'
import { bounded } from './bounded.ts'

/** The member of an interactive transaction of Prisma that the bridge calls. */
export interface PrismaTransaction {
  $queryRawUnsafe(sql: string, ...parameters: unknown[]): PromiseLike<unknown>
}

/** The member of a PrismaClient that the bridge calls. */
export interface PrismaDatabase<Tx extends PrismaTransaction> {
  $transaction<Value>(
    work: (tx: Tx) => Promise<Value>,
    options: { readonly maxWait: number; readonly timeout: number },
  ): Promise<Value>
}

/** How long Prisma waits for a connection; and how much longer than the bound it lets a transaction be. Milliseconds. */
const waitMs = 5_000

/** Interactive transactions of Prisma, for `onceward({ transactions: prisma(client) })`, in the store's own database. */
export function prisma<Tx extends PrismaTransaction>(client: PrismaDatabase<Tx>): Bridge<Tx> {
  return {
    name: 'prisma',
    transaction: async (work, { transactionMs }) =>
      client.$transaction(async (tx) => bounded(handleOf(tx), work, transactionMs), {
        maxWait: waitMs,
        timeout: transactionMs + waitMs,
      }),
    query: async (tx, sql, parameters) => {
      const rows = await tx.$queryRawUnsafe(sql, ...parameters)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return rows as readonly Readonly<Record<string, unknown>>[]
    },
  }
}
