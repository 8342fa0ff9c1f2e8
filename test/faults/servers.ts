import { programsOf, serverKinds } from '../../scripts/servers/kinds.ts'
import { hasMariadb, notRun, startMariadb } from '../../scripts/servers/mariadb.ts'
import { postgresMissing, startPostgres } from '../../scripts/servers/postgres.ts'
import { redisMissing, startRedis } from '../../scripts/servers/redis.ts'

/** A private server that a test ends, stops and is cut off from, whichever it is. */
export interface Server {
  readonly port: number
  /** The address of a clean store, as the fixture takes it. */
  fresh(): Promise<string>
  /** Ends it at once. */
  kill(): Promise<void>
  /** Starts it again on the same port and files. */
  restart(): Promise<void>
  pause(): void
  resume(): void
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

/** A kind of server. */
export interface Kind {
  readonly name: string
  readonly skip: string | false
  readonly start: () => Promise<Server>
}

/** Each kind that stores are on, in the settings that lose nothing when it is killed. */
export const kinds: readonly Kind[] = [
  { name: 'Postgres', skip: (await programsOf(serverKinds.postgres)) === undefined ? postgresMissing : false, start: postgres },
  { name: 'MariaDB', skip: (await hasMariadb()) ? false : notRun, start: mariadb },
  { name: 'Redis', skip: redisMissing ?? false, start: redis },
]

async function postgres(): Promise<Server> {
  const server = await startPostgres()
  if (server === undefined) throw new Error(postgresMissing)
  return {
    port: server.port,
    fresh: async () => server.database(),
    kill: async () => server.kill(),
    restart: async () => server.start(),
    pause: () => server.pause(),
    resume: () => server.resume(),
    stop: async () => server.stop(),
  }
}

async function mariadb(): Promise<Server> {
  const server = await startMariadb()
  return { ...server, fresh: async () => (await server.database()).url }
}

async function redis(): Promise<Server> {
  const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always', '--databases', '64'] })
  let databases = 0
  return {
    port: server.port,
    fresh: async () => `${server.url}/${(databases += 1)}`,
    kill: async () => server.process.kill(),
    restart: async () => server.process.start(),
    pause: () => server.process.pause(),
    resume: () => server.process.resume(),
    stop: async () => server.stop(),
  }
}
