import { chownSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { notRun, programsOf, serverKinds } from './kinds.ts'
import { freePort, ServerProcess } from './server.ts'
import { serverUser } from './user.ts'
import type { PostgresServer } from './postgres.ts'

/** Why tests on it do not run where the program is missing. */
export const pgbouncerMissing: string = notRun(serverKinds.pgbouncer)

/** A private pgbouncer. */
export interface Pgbouncer {
  /** The same database through it. */
  url(direct: string): string
  stop(): Promise<void>
}

/** Starts a pgbouncer before a server, in transaction mode: each transaction may run on another of its few connections. */
export async function startPgbouncer(server: PostgresServer): Promise<Pgbouncer | undefined> {
  const [file] = (await programsOf(serverKinds.pgbouncer)) ?? []
  if (file === undefined) return undefined
  const user = serverUser(['postgres', 'nobody'])
  const home = await mkdtemp(join(tmpdir(), 'onceward-pgbouncer-'))
  if (user.uid !== undefined && user.gid !== undefined) chownSync(home, user.uid, user.gid)
  const port = await freePort()
  const settings = join(home, 'pgbouncer.ini')
  await writeFile(settings, settingsOf(server.port, port), { mode: 0o644 })
  const ready = async (): Promise<void> => answers(port)
  const pooler = new ServerProcess({ name: 'pgbouncer', file, args: [settings], ready, ...user })
  await pooler.start()
  return {
    url: (direct) => direct.replace(`:${server.port}/`, `:${port}/`),
    stop: async () => {
      await pooler.stop('SIGTERM')
      await rm(home, { recursive: true, force: true })
    },
  }
}

function settingsOf(serverPort: number, port: number): string {
  return `[databases]
* = host=127.0.0.1 port=${serverPort} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_reset_query =
`
}

async function answers(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
}
