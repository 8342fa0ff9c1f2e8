import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, chown, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createConnection, createPool, type Pool, type PoolOptions } from 'mysql2/promise'
import { notRun as notRunOf, programsOf, serverKinds } from './kinds.ts'
import { freePort, ServerProcess } from './server.ts'

/** Why there is no server to test with. */
export const notRun: string = notRunOf(serverKinds.mariadb)

/** A clean database of a private server. */
export interface MariadbDatabase {
  readonly name: string
  readonly url: string
  /** A pool on it; the test ends it. */
  pool(options?: PoolOptions): Pool
}

/** A private MariaDB, on a port and in a directory of its own. */
export interface Mariadb {
  readonly port: number
  /** Makes a clean database. */
  database(): Promise<MariadbDatabase>
  /** Does something as its administrator. */
  root(sql: string): Promise<void>
  kill(): Promise<void>
  restart(): Promise<void>
  pause(): void
  resume(): void
  /** Ends it and removes its directory. */
  stop(): Promise<void>
}

/** Whether its programs are on this machine. */
export async function hasMariadb(): Promise<boolean> {
  return (await programsOf(serverKinds.mariadb)) !== undefined
}

/**
 * Starts a private MariaDB with the settings it has by default.
 * @param settings options of its command line besides
 * @param where the directory in which its own is made
 * @throws Error with `notRun` where its programs are missing
 */
export async function startMariadb(settings: readonly string[] = [], where: string = tmpdir()): Promise<Mariadb> {
  const [program, installer] = (await programsOf(serverKinds.mariadb)) ?? []
  if (program === undefined || installer === undefined) throw new Error(notRun)
  const directory = await mkdtemp(join(where, 'onceward-mariadb-'))
  const user = await serverUser()
  await chmod(directory, 0o755)
  if (user !== undefined) await chown(directory, user.uid, user.gid)
  for (const part of ['data', 'tmp']) await mkdirFor(join(directory, part), user)
  // The sizes of InnoDB's files are decided when they are made.
  const sizes = settings.filter((each) => each.startsWith('--innodb-'))
  await install(installer, [`--datadir=${join(directory, 'data')}`, `--tmpdir=${join(directory, 'tmp')}`, ...sizes], user?.name)
  const port = await freePort()
  const server = new ServerProcess({
    name: 'mariadbd',
    file: program,
    args: [...argumentsOf(directory, port), ...settings],
    ready: async () => (await createConnection(rootOf(port))).end(),
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
  })
  await server.start()
  return running(server, { port, directory })
}

/** The user it runs as: it refuses to be root. */
interface ServerUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

async function serverUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((each) => each.startsWith('mysql:'))
  const [name, , uid, gid] = line?.split(':') ?? []
  return name === undefined ? undefined : { name, uid: Number(uid), gid: Number(gid) }
}

async function mkdirFor(path: string, user: ServerUser | undefined): Promise<void> {
  await mkdir(path)
  if (user !== undefined) await chown(path, user.uid, user.gid)
}

async function install(program: string, options: readonly string[], user: string | undefined): Promise<void> {
  const owner = user === undefined ? [] : [`--user=${user}`]
  // Two at a time would take each other's temporary tables for their own.
  const rest = [...options, '--skip-test-db', '--auth-root-authentication-method=normal']
  await promisify(execFile)(program, ['--no-defaults', ...owner, ...rest])
}

function argumentsOf(directory: string, port: number): readonly string[] {
  const places = [
    `--datadir=${join(directory, 'data')}`,
    `--socket=${join(directory, 'socket')}`,
    `--tmpdir=${join(directory, 'tmp')}`,
  ]
  return ['--no-defaults', ...places, `--port=${port}`, '--bind-address=127.0.0.1', '--innodb-buffer-pool-size=64M']
}

function rootOf(port: number): { readonly host: string; readonly port: number; readonly user: string } {
  return { host: '127.0.0.1', port, user: 'root' }
}

function running(server: ServerProcess, { port, directory }: { readonly port: number; readonly directory: string }): Mariadb {
  const root = async (sql: string): Promise<void> => {
    const connection = await createConnection(rootOf(port))
    try {
      await connection.query(sql)
    } finally {
      await connection.end()
    }
  }
  return {
    port,
    root,
    database: async () => {
      const name = `test_${randomUUID().replaceAll('-', '')}`
      await root(`CREATE DATABASE ${name}`)
      const pool = (options: PoolOptions = {}): Pool => createPool({ ...rootOf(port), database: name, ...options })
      return { name, url: `mysql://root@127.0.0.1:${port}/${name}`, pool }
    },
    kill: () => server.kill(),
    restart: () => server.start(),
    pause: () => server.pause(),
    resume: () => server.resume(),
    stop: async () => {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
