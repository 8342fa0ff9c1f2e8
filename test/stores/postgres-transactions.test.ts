import { test } from 'node:test'
import type { PoolClient } from 'pg'
import { serverFor } from './postgres-support.ts'
import { ownBridge, subjectOn, tappedPool } from './postgres-transactions-support.ts'
import { transactionCases } from './transaction-cases.ts'

const { server, skip } = await serverFor()

if (server === undefined) test('transactions on Postgres', { skip })
else
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
        return [
          async () => query("INSERT INTO orders (item) VALUES ('stolen')"),
          async () => tx.query("INSERT INTO orders (item) VALUES ('stolen')"),
        ]
      },
    }),
  )
