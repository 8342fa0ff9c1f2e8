import { after, test } from 'node:test'
import { PrismaPg } from '@prisma/adapter-pg'
import { drizzle as drizzleOn } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleOnPostgresJs } from 'drizzle-orm/postgres-js'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { CamelCasePlugin, Kysely, PostgresDialect, type Generated, type Transaction } from 'kysely'
import type { PoolClient } from 'pg'
import postgresJs, { type TransactionSql } from 'postgres'
import { drizzle } from 'onceward/drizzle'
import { kysely } from 'onceward/kysely'
import { prisma } from 'onceward/prisma'
import { serverFor } from './postgres-support.ts'
import { prismaClient, type PrismaTx } from './prisma-support.ts'
import { ownBridge, subjectOn, tappedPool } from './postgres-transactions-support.ts'
import { transactionCases } from './transaction-cases.ts'

const { server, skip } = await serverFor()

const steal = "INSERT INTO orders (item) VALUES ('stolen')"
const orders = pgTable('orders', { id: integer().primaryKey().generatedAlwaysAsIdentity(), item: text().notNull() })
type DrizzleTx = Parameters<Parameters<ReturnType<typeof drizzleOn>['transaction']>[0]>[0]

/** The table, as Kysely is told of it. */
interface Tables {
  readonly orders: { readonly id: Generated<number>; readonly item: string }
}

if (server === undefined) test('transactions on Postgres', { skip })
else {
  transactionCases<PoolClient>(
    subjectOn(server, {
      name: 'Postgres by pg',
      bridge: 'pg',
      isTapped: true,
      connect: (url, tap) => {
        const pool = tappedPool(url, tap)
        return { client: pool, bridge: ownBridge(pool), end: async () => pool.end() }
      },
      add: async (tx, item) => void (await tx.query('INSERT INTO orders (item) VALUES ($1)', [item])),
      steal: (tx) => {
        const query = tx.query.bind(tx)
        return [async () => query(steal), async () => tx.query(steal)]
      },
    }),
  )

  transactionCases<DrizzleTx>(
    subjectOn(server, {
      name: 'Postgres by Drizzle on pg',
      bridge: 'drizzle',
      isTapped: true,
      connect: (url, tap) => {
        const pool = tappedPool(url, tap)
        return { client: pool, bridge: drizzle(drizzleOn(pool)), end: async () => pool.end() }
      },
      add: async (tx, item) => void (await tx.insert(orders).values({ item })),
      steal: (tx) => {
        const made = tx.insert(orders).values({ item: 'stolen' })
        const raw = tx.execute(steal)
        const prepared = tx.insert(orders).values({ item: 'stolen' }).prepare('steal')
        return [async () => made, async () => raw, async () => prepared.execute(), async () => tx.execute(steal)]
      },
    }),
  )

  transactionCases(
    subjectOn(server, {
      name: 'Postgres by Drizzle on postgres.js',
      bridge: 'drizzle',
      isTapped: false,
      connect: (url) => {
        const sql = postgresJs(url, { max: 4, onnotice: () => {} })
        return { client: sql, bridge: drizzle(drizzleOnPostgresJs(sql)), end: async () => sql.end() }
      },
      add: async (tx, item) => void (await tx.insert(orders).values({ item })),
      steal: (tx) => {
        const made = tx.insert(orders).values({ item: 'stolen' })
        const raw = tx.execute(steal)
        return [async () => made, async () => raw, async () => tx.execute(steal)]
      },
    }),
  )

  transactionCases<TransactionSql>(
    subjectOn(server, {
      name: 'Postgres by postgres.js',
      bridge: 'postgres.js',
      isTapped: false,
      connect: (url) => {
        const sql = postgresJs(url, { max: 4, onnotice: () => {} })
        return { client: sql, bridge: ownBridge(sql), end: async () => sql.end() }
      },
      add: async (tx, item) => void (await tx`INSERT INTO orders (item) VALUES (${item})`),
      steal: (tx) => {
        const made = tx`INSERT INTO orders (item) VALUES ('stolen')`
        return [async () => made, async () => tx.unsafe(steal), async () => tx`INSERT INTO orders (item) VALUES ('stolen')`]
      },
    }),
  )

  transactionCases<Transaction<Tables>>(
    subjectOn(server, {
      name: 'Postgres by Kysely',
      bridge: 'kysely',
      isTapped: true,
      connect: (url, tap) => {
        const pool = tappedPool(url, tap)
        const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
        return { client: pool, bridge: kysely(db), end: async () => db.destroy() }
      },
      add: async (tx, item) => void (await tx.insertInto('orders').values({ item }).execute()),
      steal: (tx) => {
        const made = tx.insertInto('orders').values({ item: 'stolen' })
        const compiled = made.compile()
        return [async () => made.execute(), async () => tx.executeQuery(compiled), async () => tx.insertInto('orders')]
      },
    }),
  )

  const generated = await prismaClient()
  if ('refused' in generated) test('transactions on Postgres by Prisma', { skip: generated.refused })
  else {
    after(generated.remove)
    transactionCases<PrismaTx>(
      subjectOn(server, {
        name: 'Postgres by Prisma',
        bridge: 'prisma',
        endedCode: 'P2028',
        isTapped: false,
        connect: (url) => {
          const pool = tappedPool(url)
          const client = new generated.PrismaClient({ adapter: new PrismaPg(pool) })
          const end = async (): Promise<void> => {
            await client.$disconnect()
            await pool.end()
          }
          return { client: pool, bridge: prisma(client), end }
        },
        add: async (tx, item) => void (await tx.order.create({ data: { item } })),
        steal: (tx) => {
          const made = tx.order.create({ data: { item: 'stolen' } })
          const { order } = tx
          return [async () => tx.$queryRawUnsafe(steal), async () => order.create({ data: { item: 'stolen' } }), async () => made]
        },
      }),
    )
  }
}
