/**
 * Starts a private server of each kind there is, on free ports, and prints what the fixture and the stores take as address, a line each:
 * `npm run servers`. It names what it cannot start, with the package to install. SIGINT or SIGTERM stops all and removes their data.
 */
import { missingServers, notRun, serverKinds, type ServerKind } from './servers/kinds.ts'
import { startMariadb } from './servers/mariadb.ts'
import { startPgbouncer } from './servers/pgbouncer.ts'
import { startPostgres } from './servers/postgres.ts'
import { startRedis } from './servers/redis.ts'

interface Started {
  readonly kind: ServerKind
  readonly url: string
  stop(): Promise<void>
}

const missing = await missingServers()
const has = (kind: ServerKind): boolean => !missing.includes(kind)

/** Postgres, and pgbouncer before it. */
async function postgresAndPooler(): Promise<readonly Started[]> {
  const server = has(serverKinds.postgres) ? await startPostgres() : undefined
  if (server === undefined) return []
  const url = await server.database()
  const direct = { kind: serverKinds.postgres, url, stop: async () => server.stop() }
  const pooler = has(serverKinds.pgbouncer) ? await startPgbouncer(server) : undefined
  // The pooler first: it is the server's client.
  return pooler === undefined
    ? [direct]
    : [{ kind: serverKinds.pgbouncer, url: pooler.url(url), stop: async () => pooler.stop() }, direct]
}

async function mariadb(): Promise<readonly Started[]> {
  if (!has(serverKinds.mariadb)) return []
  const server = await startMariadb()
  return [{ kind: serverKinds.mariadb, url: (await server.database()).url, stop: async () => server.stop() }]
}

async function redis(): Promise<readonly Started[]> {
  if (!has(serverKinds.redis)) return []
  const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  return [{ kind: serverKinds.redis, url: server.url, stop: async () => server.stop() }]
}

const started = (await Promise.all([postgresAndPooler(), mariadb(), redis()])).flat()
for (const { kind, url } of started) console.log(`${kind.name.padEnd(10)}${url}`)
for (const kind of missing) console.log(notRun(kind))
console.log('SIGINT stops them and removes their data')

await new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  // Signals alone do not keep a process.
  const waiting = setInterval(() => {}, 60_000)
  process.once('SIGINT', () => clearInterval(waiting)).once('SIGTERM', () => clearInterval(waiting))
})
for (const server of started) await server.stop()
