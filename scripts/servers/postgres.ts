import { execFile } from 'node:child_process'
import { chownSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { notRun, programsOf, serverKinds } from './kinds.ts'
import { freePort, ServerProcess } from './server.ts'
import { serverUser, type ServerUser } from './user.ts'

const run = promisify(execFile)

/** Why tests on it do not run where the program is missing. */
export const postgresMissing: string = notRun(serverKinds.postgres)

/** How a private server differs from the usual one. */
export interface PostgresServerOptions {
  /** Settings, each as `name=value`. */
  readonly settings?: readonly string[]
  /** A directory for its data, which must be empty. @default a temporary one, removed when it stops */
  readonly directory?: string
}

/** Starts a private Postgres on a free port; undefined where there is none to start. */
export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer | undefined> {
  const [initdb, postgres] = (await programsOf(serverKinds.postgres)) ?? []
  if (initdb === undefined || postgres === undefined) return undefined
  const user = serverUser(['postgres', 'nobody'])
  const home = await mkdtemp(join(tmpdir(), 'onceward-postgres-'))
  const data = options.directory ?? join(home, 'data')
  await ownedBy(user, home, options.directory)
  const env = { LC_ALL: 'C', PATH: process.env['PATH'] ?? '' }
  const initArgs = ['--no-sync', '--auth=trust', '--username=postgres', '--encoding=UTF8', '--locale=C', '-D', data]
  await run(initdb, initArgs, { ...user, env, cwd: home })
  const server = new PostgresServer({ postgres, user, home, data, port: await freePort(), settings: options.settings ?? [] })
  await server.start()
  return server
}

/**
 * Starts a replica of a server, which follows it through the port given.
 * @param through the server's port, or that of a proxy before it
 */
export async function startReplica(server: PostgresServer, through: number): Promise<PostgresServer> {
  const { user, postgres, settings } = server.place
  const home = await mkdtemp(join(tmpdir(), 'onceward-postgres-'))
  await ownedBy(user, home)
  const data = join(home, 'data')
  const source = ['-h', '127.0.0.1', '-p', String(through), '-U', 'postgres']
  await run(join(dirname(postgres), 'pg_basebackup'), [...source, '-D', data, '-R', '--checkpoint=fast', '--no-sync'], {
    ...user,
    cwd: home,
  })
  const replica = new PostgresServer({ postgres, user, home, data, port: await freePort(), settings })
  await replica.start()
  return replica
}

interface Place {
  readonly postgres: string
  readonly user: ServerUser
  readonly home: string
  readonly data: string
  readonly port: number
  readonly settings: readonly string[]
}

/** A private Postgres: its superuser is `postgres`, who needs no password. */
export class PostgresServer {
  readonly port: number
  /** Its programs and directories. */
  readonly place: Place
  readonly #process: ServerProcess
  #databases = 0

  constructor(place: Place) {
    const { postgres, user, home, data, port, settings } = place
    this.port = port
    this.place = place
    const args = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', home, ...settings.flatMap((each) => ['-c', each])]
    this.#process = new ServerProcess({ name: 'postgres', file: postgres, args, ready: async () => this.#answer(), ...user })
  }

  /** What the server said last. */
  get log(): string {
    return this.#process.log
  }

  /** A database of this server, there or not. */
  url(database: string, user: string = 'postgres'): string {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}`
  }

  /** Makes an empty database and gives its url. */
  async database(): Promise<string> {
    this.#databases += 1
    const name = `onceward_${process.pid}_${this.#databases}`
    await this.query(`CREATE DATABASE ${name}`)
    return this.url(name)
  }

  /** One statement of the superuser's, on a connection of its own. */
  async query(text: string, url: string = this.url('postgres')): Promise<readonly Record<string, unknown>[]> {
    const client = new Client({ connectionString: url })
    client.on('error', () => {
      // The server is killed under its clients; the query that suffers is told.
    })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }

  async start(): Promise<void> {
    await this.#process.start()
  }

  /** Ends it and all its backends at once, as when the machine dies; what was written to the system's cache stays. */
  async kill(): Promise<void> {
    const backends = this.#backends()
    const ended = this.#process.kill()
    for (const pid of backends) signal(pid, 'SIGKILL')
    await ended
  }

  /** Ends it if it runs, as its operator would, and starts it again. */
  async restart(): Promise<void> {
    await this.#process.stop('SIGINT')
    await this.start()
  }

  /** Stops its time, and that of its backends; `resume` lets them go on. */
  pause(): void {
    this.#process.pause()
    for (const pid of this.#backends()) signal(pid, 'SIGSTOP')
  }

  resume(): void {
    for (const pid of this.#backends()) signal(pid, 'SIGCONT')
    this.#process.resume()
  }

  /** Ends it and removes its data. */
  async stop(): Promise<void> {
    await this.#process.stop('SIGINT')
    await rm(this.place.home, { recursive: true, force: true })
  }

  async #answer(): Promise<void> {
    await this.query('SELECT 1')
  }

  #backends(): readonly number[] {
    const postmaster = Number(readFileSync(join(this.place.data, 'postmaster.pid'), 'utf8').split('\n', 1)[0])
    return childrenOf(postmaster)
  }
}

async function ownedBy({ uid, gid }: ServerUser, ...directories: readonly (string | undefined)[]): Promise<void> {
  for (const directory of directories) {
    if (directory === undefined) continue
    if (uid !== undefined && gid !== undefined) chownSync(directory, uid, gid)
    await chmod(directory, 0o700)
  }
}

/** Every backend is a child of the server's first process, in a group of its own. Known on Linux alone. */
function childrenOf(parent: number): readonly number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.map(Number).filter((pid) => parentOf(pid) === parent)
}

function parentOf(pid: number): number | undefined {
  try {
    // After the program's name, which stands in parentheses and may hold anything, come the state and the parent.
    return Number(
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[1],
    )
  } catch {
    return undefined // It has ended in between.
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended in between.
  }
}
