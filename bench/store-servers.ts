import { Redis } from 'ioredis'
import { createPool } from 'mysql2/promise'
import { onceward, type Store } from 'onceward'
import { mysql } from 'onceward/mysql'
import { postgres } from 'onceward/postgres'
import { redis } from 'onceward/redis'
import { Pool } from 'pg'
import { startMariadb } from '../scripts/servers/mariadb.ts'
import { postgresMissing, startPostgres } from '../scripts/servers/postgres.ts'
import { startRedis } from '../scripts/servers/redis.ts'
import { NaiveMysql } from './naive-mysql.ts'
import { NaivePostgres } from './naive-postgres.ts'
import { NaiveRedis, type NaiveRequest } from './naive-redis.ts'
import { poolMax } from './work.ts'

/** Something that makes operations happen once. */
export interface Runner {
  run<Value>(request: NaiveRequest, work: () => Promise<Value>): Promise<Value>
  close(): Promise<void>
}

/** A private server, on which each runner has a clean place of its own. */
export interface StoreServer {
  naive(): Promise<Runner>
  onceward(): Promise<Runner>
  stop(): Promise<void>
}

/** Postgres through pg, as the server is by default. */
export async function postgresServer(): Promise<StoreServer> {
  const server = await startPostgres()
  if (server === undefined) throw new Error(postgresMissing)
  const pool = async (): Promise<Pool> => {
    const made = new Pool({ connectionString: await server.database(), max: poolMax })
    // The server may be stopped while the last connections are being ended.
    made.on('error', () => undefined)
    return made
  }
  return {
    naive: async () => {
      const own = await pool()
      const naive = new NaivePostgres(own)
      await naive.open()
      return { run: (request, work) => naive.run(request, work), close: () => own.end() }
    },
    onceward: async () => {
      const own = await pool()
      return opened(postgres(own), () => own.end())
    },
    stop: () => server.stop(),
  }
}

/** MariaDB through mysql2, as the server is by default but for the size of its memory. */
export async function mariadbServer(): Promise<StoreServer> {
  const server = await startMariadb()
  const pool = async (): Promise<ReturnType<typeof createPool>> => (await server.database()).pool({ connectionLimit: poolMax })
  return {
    naive: async () => {
      const own = await pool()
      const naive = new NaiveMysql(own)
      await naive.open()
      return { run: (request, work) => naive.run(request, work), close: () => own.end() }
    },
    onceward: async () => {
      const own = await pool()
      return opened(mysql(own), () => own.end())
    },
    stop: () => server.stop(),
  }
}

/** Redis through ioredis; emptied for each runner. */
export async function redisServer(args: readonly string[]): Promise<StoreServer> {
  const server = await startRedis({ args })
  const address = { host: '127.0.0.1', port: server.port }
  return {
    naive: async () => {
      await server.command('FLUSHALL')
      const client = new Redis({ ...address, enableAutoPipelining: true })
      const naive = new NaiveRedis(client)
      return { run: (request, work) => naive.run(request, work), close: async () => client.disconnect() }
    },
    onceward: async () => {
      await server.command('FLUSHALL')
      const client = new Redis(address)
      return opened(redis(client), async () => client.disconnect())
    },
    stop: () => server.stop(),
  }
}

/** Opens the store before the work, so that its tables are there. */
async function opened(store: Store, end: () => Promise<void>): Promise<Runner> {
  const once = onceward({ store })
  await once.open()
  return {
    run: (request, work) => once.run(request, work),
    close: async () => {
      await once.close()
      await end()
    },
  }
}
