import type { TestContext } from 'node:test'
import type { Pool } from 'pg'
import { onceward, type AtomicOnce, type Bridge, type OncewardEvent, type OncewardOptions } from 'onceward'
import { postgres, type PostgresClient } from 'onceward/postgres'
import type { PostgresServer } from '../../scripts/servers/postgres.ts'
import { connection, poolOf } from './postgres-support.ts'
import type { Shop, TransactionSubject, TransactionTap } from './transaction-cases.ts'

/** One application's client and, where it is not the client's own, its bridge. */
export interface TransactionClient<Tx> {
  readonly client: PostgresClient
  readonly bridge: Bridge<Tx>
  readonly end: () => Promise<void>
}

/** A client, and how it writes an order. */
export interface PostgresSubject<Tx> extends Pick<TransactionSubject<Tx>, 'name' | 'bridge' | 'add' | 'steal' | 'endedCode'> {
  readonly connect: (url: string, tap?: TransactionTap) => TransactionClient<Tx>
  /** A test can come between it and its commits. */
  readonly isTapped: boolean
}

/** A pool whose statements are told to the tap. */
export function tappedPool(url: string, tap: TransactionTap = {}): Pool {
  const pool = poolOf(url)
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...given: unknown[]) => unknown
    const told = async (text: string, given: readonly unknown[]): Promise<unknown> => {
      tap.before?.(text)
      const result = await query(...given)
      tap.after?.(text)
      return result
    }
    Object.assign(client, {
      query: (...given: unknown[]) => {
        const [first] = given
        const text = typeof first === 'string' ? first : String(Object(first)['text'])
        return typeof given.at(-1) === 'function' ? query(...given) : told(text, given)
      },
    })
  })
  return pool
}

/** The bridge of a store on the client. */
export function ownBridge<Tx>(client: PostgresClient): Bridge<Tx> {
  return postgres(client).bridge as Bridge<Tx>
}

/** An engine on the client with its bridge; both are ended after the test. */
function engineOf<Tx>(
  t: TestContext,
  { client, bridge, end }: TransactionClient<Tx>,
  options: Partial<OncewardOptions> = {},
): AtomicOnce<Tx> {
  const once = onceward({ wait: '10s', ...options, store: postgres(client), transactions: bridge })
  t.after(async () => {
    await once.close()
    await end()
  })
  return once
}

/** The orders as a connection beside sees them; the table is made. */
async function ordersOn(t: TestContext, url: string): Promise<() => Promise<readonly string[]>> {
  const beside = await connection(t, url)
  await beside.query('CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, item text NOT NULL)')
  return async () => (await beside.query<{ item: string }>('SELECT item FROM orders ORDER BY id')).rows.map(({ item }) => item)
}

/** The cases' subject on a private server. */
export function subjectOn<Tx>(server: PostgresServer, subject: PostgresSubject<Tx>): TransactionSubject<Tx> {
  const { connect, isTapped } = subject
  return {
    ...subject,
    transactionMs: 400,
    isSerial: false,
    commitError: isTapped ? () => new Error('the connection was lost') : undefined,
    shop: async (t, options = {}, tap = {}): Promise<Shop<Tx>> => {
      const url = await server.database()
      const orders = await ordersOn(t, url)
      const events: OncewardEvent[] = []
      let isOpen = false
      const told = (tell?: (sql: string) => void) => (sql: string) => void (isOpen && tell?.(sql))
      const client = connect(url, { before: told(tap.before), after: told(tap.after) })
      const once = engineOf(t, client, { onEvent: (event) => void events.push(event), ...options })
      await once.open()
      isOpen = true
      return { once, events, orders, another: async () => ({ once: engineOf(t, connect(url)) }) }
    },
    mismatched: async (t) => {
      const elsewhere = connect(await server.database())
      const there = engineOf(t, elsewhere)
      await there.open()
      return engineOf(t, { ...connect(await server.database()), bridge: elsewhere.bridge })
    },
  }
}
