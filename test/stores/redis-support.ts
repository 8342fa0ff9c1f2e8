import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import { redis, type RedisClient, type RedisOptions } from '../../src/stores/redis.ts'
import type { TestContext } from 'node:test'
import { startRedis, type RedisServer, type RedisSettings } from '../../scripts/servers/redis.ts'
import type { Store } from '../../src/core/store.ts'
import type { Claim } from '../../src/core/transitions.ts'
import type { OpenDatabase } from 'onceward/testing'

/** A client that a test opened. */
export interface Opened {
  readonly client: RedisClient
  close(): Promise<void>
}

/** Where a single server is. */
export interface Place {
  readonly port: number
  readonly username?: string
  readonly password?: string
}

/** ioredis on one server. */
export function ioredisOn(place: Place): Opened {
  return ofIoredis(new Redis({ host: '127.0.0.1', ...place }))
}

/** ioredis through Sentinel. */
export function ioredisThrough(name: string, sentinels: readonly { host: string; port: number }[]): Opened {
  return ofIoredis(new Redis({ name, sentinels: [...sentinels], sentinelRetryStrategy: () => 100, retryStrategy: () => 100 }))
}

/** ioredis on a cluster. */
export function ioredisCluster(nodes: readonly { host: string; port: number }[]): Opened {
  return ofIoredis(new Cluster([...nodes]))
}

function ofIoredis(client: Redis | Cluster): Opened {
  client.on('error', () => undefined)
  return { client, close: async () => client.disconnect() }
}

/** node-redis on one server, connected. */
export async function nodeRedisOn({ port, username, password }: Place): Promise<Opened> {
  const user = { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) }
  const client = createClient({ socket: { host: '127.0.0.1', port }, ...user })
  client.on('error', () => undefined)
  await client.connect()
  return { client, close: async () => client.destroy() }
}

/** node-redis on a cluster, connected. */
export async function nodeRedisCluster(nodes: readonly { host: string; port: number }[]): Promise<Opened> {
  const client = createCluster({ rootNodes: nodes.map((socket) => ({ socket })) })
  client.on('error', () => undefined)
  await client.connect()
  return { client, close: async () => client.destroy() }
}

/** A fresh database for each case of the contract: the server's keys are forgotten. Two clients, since a process has one. */
export function databaseOn(one: RedisClient, other: RedisClient, flush: () => Promise<unknown>): OpenDatabase {
  return async ({ clockOffsetMs }) => {
    await flush()
    return {
      store: redis(one, { clockOffsetMs }),
      second: async () => redis(other, { clockOffsetMs }),
      refused: {
        claim: (taken) => ({ ...taken, id: 'not hexadecimal' }),
        settlement: (taken) => ({ ...taken, id: taken.id.slice(1) }),
      },
      close: async () => {},
    }
  }
}

/** The clients on one server. */
export const clients: readonly { readonly name: string; readonly on: (place: Place) => Promise<Opened> }[] = [
  { name: 'ioredis', on: async (place) => ioredisOn(place) },
  { name: 'node-redis', on: nodeRedisOn },
]

/** A server for one test, ended after it. */
export async function serverFor(t: TestContext, settings?: RedisSettings): Promise<RedisServer> {
  const server = await startRedis(settings)
  t.after(async () => server.stop())
  return server
}

/** A client for one test, closed after it. */
export async function clientFor(t: TestContext, opened: Opened | Promise<Opened>): Promise<RedisClient> {
  const { client, close } = await opened
  t.after(close)
  return client
}

/** An open store for one test, closed after it; with a client of its own unless one is given. */
export async function storeFor(
  t: TestContext,
  { port }: Place,
  { client, ...options }: RedisOptions & { readonly client?: RedisClient } = {},
): Promise<Store> {
  const store = redis(client ?? (await clientFor(t, ioredisOn({ port }))), options)
  await store.open()
  t.after(async () => store.close())
  return store
}

/** The key of the claim's record. */
export function keyOf({ id }: Claim): string {
  return `onceward:{${id}}`
}

/** How often the server has run a command. */
export async function callsOf(server: RedisServer, command: string): Promise<number> {
  const stats = await server.command('INFO', 'commandstats')
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}
