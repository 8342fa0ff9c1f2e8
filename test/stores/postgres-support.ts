import { after, type TestContext } from 'node:test'
import { Client, Pool, type PoolConfig } from 'pg'
import {
  startPostgres,
  postgresMissing,
  type PostgresServer,
  type PostgresServerOptions,
} from '../../scripts/servers/postgres.ts'
import { postgres, type PostgresClient, type PostgresOptions } from '../../src/stores/postgres.ts'
import { only } from '../../src/testing/store/subject.ts'
import type { Store } from '../../src/core/store.ts'
import type { Claim, ClaimResult } from '../../src/core/transitions.ts'
import type { OpenDatabase } from 'onceward/testing'

/** A private server for one test file, stopped behind it; or why there is none. */
export async function serverFor(
  options: PostgresServerOptions = {},
): Promise<{ readonly server: PostgresServer; readonly skip: false } | { readonly server: undefined; readonly skip: string }> {
  const server = await startPostgres(options)
  if (server === undefined) return { server, skip: postgresMissing }
  after(async () => server.stop())
  return { server, skip: false }
}

/** A client of the application's, and how it ends it. */
export interface Connected {
  readonly client: PostgresClient
  end(): Promise<void>
}

/** A pool that does not mind the loss of idle connections. */
export function poolOf(url: string, options: PoolConfig = {}): Pool {
  const pool = new Pool({ connectionString: url, max: 4, ...options })
  pool.on('error', () => {})
  return pool
}

/** A pool, as a client of the contract's. */
export function connectedPool(url: string): Connected {
  const client = poolOf(url)
  return { client, end: async () => client.end() }
}

/** An open store on a pool of its own, both ended after the test. */
export async function opened(t: TestContext, url: string, options: PostgresOptions = {}): Promise<Store> {
  const pool = poolOf(url)
  const store = postgres(pool, options)
  t.after(async () => {
    await store.close()
    await pool.end()
  })
  await store.open()
  return store
}

/** A connection beside the store's, as an operator has it; ended after the test, with the transaction it is in. */
export async function connection(t: TestContext, url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  t.after(async () => client.end())
  return client
}

/** A pool of one connection, whose statements are all in the transaction that is open on it. */
export function poolOn(client: Client): PostgresClient {
  const connected = {
    query: client.query.bind(client),
    on: client.on.bind(client),
    release: () => {},
  }
  return { connect: async () => connected, query: () => {}, totalCount: 1, options: { max: 1 } } as PostgresClient
}

/** What one claim found. */
export async function claimed(store: Store, claim: Claim): Promise<ClaimResult['state']> {
  return only(await store.claim([claim])).state
}

let tables = 0

/** A table of its own for each case; each instance has a client of its own, as another process has. */
export function tableFor(connect: () => Connected, options: PostgresOptions = {}): OpenDatabase {
  return async ({ clockOffsetMs }) => {
    tables += 1
    const table = `case_${tables}`
    const clients: Connected[] = []
    const instance = () => {
      const client = connect()
      clients.push(client)
      return postgres(client.client, { ...options, table, clockOffsetMs })
    }
    return {
      store: instance(),
      second: async () => instance(),
      refused: {
        claim: (taken) => ({ ...taken, id: 'not hexadecimal' }),
        settlement: (taken) => ({ ...taken, id: taken.id.slice(1) }),
      },
      close: async () => void (await Promise.all(clients.map(async (client) => client.end()))),
    }
  }
}
