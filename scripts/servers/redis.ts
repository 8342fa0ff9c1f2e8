import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { writeFile } from 'node:fs/promises'
import { notRun, programsOf, serverKinds } from './kinds.ts'
import { freePort, ServerProcess } from './server.ts'

/** Why tests on Redis are not run here; undefined where they can be. */
export const redisMissing: string | undefined =
  (await programsOf(serverKinds.redis)) === undefined ? notRun(serverKinds.redis) : undefined

/** One private Redis. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  readonly process: ServerProcess
  /** One command, of words without spaces, and its reply as the protocol says it. */
  command(...words: readonly string[]): Promise<string>
  /** Ends it at once and starts it on the same port and files. */
  restart(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

/** How a private Redis is started. */
export interface RedisSettings {
  /** Further arguments: `['--appendonly', 'yes']`. */
  readonly args?: readonly string[]
  /** The password that `args` set: without it nobody could ask whether it has started. */
  readonly password?: string
  /** Where it listens. @default a free port */
  readonly port?: number
  /** As Sentinel, with this file of settings. */
  readonly sentinel?: string
}

/** Starts one, without persistence unless the arguments say otherwise. */
export async function startRedis({ args = [], password, sentinel, port: wanted }: RedisSettings = {}): Promise<RedisServer> {
  const [file] = (await programsOf(serverKinds.redis)) ?? []
  if (file === undefined) throw new Error(notRun(serverKinds.redis))
  const directory = mkdtempSync(join(tmpdir(), 'onceward-redis-'))
  const port = wanted ?? (await freePort())
  const command = async (...words: readonly string[]): Promise<string> => asked(port, words, password)
  const place = ['--port', String(port), '--dir', directory, '--bind', '127.0.0.1']
  const server = new ServerProcess({
    name: 'redis-server',
    file,
    args:
      sentinel === undefined
        ? [...place, '--save', '', '--repl-diskless-sync-delay', '0', ...args]
        : [await settingsFile(directory, sentinel), '--sentinel', ...place],
    ready: async () => {
      const answer = await command('PING')
      if (!answer.startsWith('+PONG')) throw new Error(answer)
    },
  })
  await server.start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    process: server,
    command,
    restart: async () => {
      await server.kill()
      await server.start()
    },
    stop: async () => {
      await server.kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function settingsFile(directory: string, text: string): Promise<string> {
  const file = join(directory, 'sentinel.conf')
  await writeFile(file, text)
  return file
}

/** A master, its replica, and three Sentinels that watch them. */
export interface RedisSentinel {
  readonly name: string
  readonly sentinels: readonly { readonly host: string; readonly port: number }[]
  readonly servers: readonly RedisServer[]
  /** The server that the Sentinels call the master. */
  master(): Promise<RedisServer>
  /** Has the replica made the master, and the master its replica, while both live. */
  failOver(): Promise<void>
  stop(): Promise<void>
}

/** Starts them and waits until every Sentinel knows the replica and the others. */
export async function startSentinel(args: readonly string[] = []): Promise<RedisSentinel> {
  const name = 'onceward'
  const first = await startRedis({ args })
  const replica = await startRedis({ args: [...args, '--replicaof', '127.0.0.1', String(first.port)] })
  const settings = [
    `sentinel monitor ${name} 127.0.0.1 ${first.port} 2`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 3000`,
    `sentinel parallel-syncs ${name} 1`,
  ].join('\n')
  const sentinels = await Promise.all(Array.from({ length: 3 }, async () => startRedis({ sentinel: `${settings}\n` })))
  const servers = [first, replica]
  const [watcher] = sentinels
  const knows = async (): Promise<boolean> => {
    const answers = await Promise.all(sentinels.map(async (each) => each.command('SENTINEL', 'MASTER', name)))
    return answers.every((answer) => /num-slaves\r\n\$1\r\n1/.test(answer) && /num-other-sentinels\r\n\$1\r\n2/.test(answer))
  }
  await until(knows, 'the Sentinels know each other')
  return {
    name,
    sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })),
    servers,
    master: async () => {
      const said = (await watcher?.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name)) ?? ''
      const found = servers.find(({ port }) => said.includes(String(port)))
      if (found === undefined) throw new Error(`no server is the master that Sentinel names: ${said}`)
      return found
    },
    failOver: async () => void (await watcher?.command('SENTINEL', 'FAILOVER', name)),
    stop: async () => void (await Promise.all([...sentinels, ...servers].map(async (each) => each.stop()))),
  }
}

/** A cluster of masters alone. */
export interface RedisCluster {
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  readonly servers: readonly RedisServer[]
  /** Forgets all keys. */
  flush(): Promise<void>
  stop(): Promise<void>
}

/** Starts three masters and deals the slots out among them. */
export async function startCluster(args: readonly string[] = []): Promise<RedisCluster> {
  const own = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-require-full-coverage', 'no']
  const servers = await Promise.all(Array.from({ length: 3 }, async () => startRedis({ args: [...own, ...args] })))
  const [first] = servers
  if (first === undefined) throw new Error('there are three')
  const shares = [0, 5461, 10923, 16384]
  for (const [index, server] of servers.entries()) {
    await server.command('CLUSTER', 'ADDSLOTSRANGE', String(shares[index]), String((shares[index + 1] ?? 0) - 1))
    await server.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
    if (index > 0) await first.command('CLUSTER', 'MEET', '127.0.0.1', String(server.port))
  }
  const agreed = async (): Promise<boolean> => {
    const infos = await Promise.all(servers.map(async (each) => each.command('CLUSTER', 'INFO')))
    return infos.every(
      (info) => info.includes('cluster_state:ok') && info.includes('cluster_slots_ok:16384') && info.includes('cluster_size:3'),
    )
  }
  await until(agreed, 'the cluster has all its slots')
  return {
    nodes: servers.map(({ port }) => ({ host: '127.0.0.1', port })),
    servers,
    flush: async () => void (await Promise.all(servers.map(async (each) => each.command('FLUSHALL')))),
    stop: async () => void (await Promise.all(servers.map(async (each) => each.stop()))),
  }
}

/** Waits for what is to become true. */
export async function until(condition: () => Promise<boolean> | boolean, what: string, ms = 30_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await pause(20)
  }
}

/** One command on a connection of its own: a client would hide what a server does. */
function asked(port: number, words: readonly string[], password: string | undefined): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect(port, '127.0.0.1')
  const said = (each: readonly string[]): string =>
    `*${each.length}\r\n${each.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
  let reply = ''
  socket.setTimeout(5_000, () => socket.destroy(new Error('no answer')))
  socket.on('data', (chunk: Buffer) => (reply += chunk.toString('latin1')))
  socket.on('error', reject)
  socket.on('close', () => resolve(password === undefined ? reply : reply.replace(/^\+OK\r\n/, '')))
  // Half closed: the server answers what it has read, and then closes.
  socket.end((password === undefined ? '' : said(['AUTH', password])) + said(words))
  return promise
}
