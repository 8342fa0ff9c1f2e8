import { createHash, randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { Pool, PoolConnection, PoolOptions } from 'mysql2/promise'
import type { MariadbDatabase } from '../../scripts/servers/mariadb.ts'
import { mysql, type MysqlOptions, type MysqlPool } from '../../src/stores/mysql.ts'
import type { Store } from '../../src/core/store.ts'
import type { Claim, Fence, Settlement } from '../../src/core/transitions.ts'

/** A pool on the database, ended after the test. */
export function poolFor(t: TestContext, database: MariadbDatabase, options: PoolOptions = {}): Pool {
  const pool = database.pool(options)
  t.after(async () => pool.end())
  return pool
}

/** An open store on a pool of its own. */
export async function openedOn(t: TestContext, database: MariadbDatabase, options: MysqlOptions = {}): Promise<Store> {
  const store = mysql(poolFor(t, database), options)
  await store.open()
  return store
}

/** A pool that answers some settings otherwise than the server. */
export function pretending(pool: Pool, settings: Readonly<Record<string, string>>): MysqlPool {
  return {
    getConnection: async () => {
      const connection = await pool.getConnection()
      return {
        connection: connection.connection,
        query: async (query) => {
          const [rows, fields] = await connection.query(query)
          if (!query.sql.startsWith('SHOW VARIABLES') || !Array.isArray(rows)) return [rows, fields]
          const others = rows.filter((row) => !(String(Object(row)['Variable_name']) in settings))
          return [[...others, ...Object.entries(settings).map(([Variable_name, Value]) => ({ Variable_name, Value }))], fields]
        },
        execute: async (statement) => connection.execute(statement),
        release: () => connection.release(),
        destroy: () => connection.destroy(),
      }
    },
  }
}

/** A transaction left open on a connection of its own, until `end` or the end of the test. */
export async function openTransaction(
  t: TestContext,
  database: MariadbDatabase,
): Promise<{ readonly connection: PoolConnection; readonly end: (how: 'COMMIT' | 'ROLLBACK') => Promise<void> }> {
  const connection = await poolFor(t, database).getConnection()
  await connection.query('START TRANSACTION')
  t.after(() => connection.destroy())
  return {
    connection,
    end: async (how) => {
      await connection.query(how)
    },
  }
}

/** A claim of the key's operation by an owner of its own. */
export function claimOf(key: string, changes: Partial<Claim> = {}): Claim {
  const scope = changes.scope ?? 'acme'
  const name = changes.name ?? 'charge'
  const interrupted = { answered: 'retry', thrown: 'retry', lapsed: 'retry' } as const
  return {
    id: sha256(JSON.stringify([scope, name, key])),
    scope,
    name,
    key,
    fingerprint: sha256('input'),
    owner: randomUUID(),
    leaseMs: 10_000,
    policy: { ttlMs: 86_400_000, rememberMs: 0, interrupted, attemptsMax: 10 },
    ...changes,
  }
}

/** As many claims, of keys that begin with this word. */
export function claimsOf(count: number, word: string, changes: Partial<Claim> = {}): readonly Claim[] {
  return Array.from({ length: count }, (_, index) => claimOf(`${word}-${index}`, changes))
}

/** The fence of a claim's first attempt. */
export function fenceOf({ id, owner }: Claim): Fence {
  return { id, attempt: 1, owner }
}

/** The completion of a claim's first attempt. */
export function completionOf(claim: Claim, body: Uint8Array | string = 'done'): Settlement {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  return { kind: 'complete', ...fenceOf(claim), outcome: { kept: true, meta: 'text', body: bytes } }
}

/** The states that claims are answered. */
export async function answersOf(store: Store, claims: readonly Claim[]): Promise<readonly string[]> {
  return (await store.claim(claims)).map(({ state }) => state)
}

/** What the store shows of the claims; null where there is nothing. */
export async function statesOf(store: Store, claims: readonly { readonly id: string }[]): Promise<readonly (string | null)[]> {
  const views = await store.find(claims.map(({ id }) => id))
  return views.map((view) => view?.state ?? null)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
