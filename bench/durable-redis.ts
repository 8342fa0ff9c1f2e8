import { redisMissing, startRedis } from '../scripts/servers/redis.ts'

/** A Redis of one's own. */
export interface DurableRedis {
  readonly url: string
  /** What its process has used so far. Microseconds. */
  cpuUs(): Promise<number>
  stop(): Promise<void>
}

/** Starts one that has every write on the disk before it answers; undefined where there is no program for it. */
export async function startDurableRedis(): Promise<DurableRedis | undefined> {
  if (redisMissing !== undefined) return undefined
  const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const cpuUs = async (): Promise<number> => {
    const answer = await server.command('INFO', 'cpu')
    const seconds = Array.from(answer.matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm), ([, used]) => Number(used))
    if (seconds.length !== 2) throw new Error(`Redis answered ${answer}`)
    return seconds.reduce((sum, each) => sum + each, 0) * 1e6
  }
  return { url: server.url, cpuUs, stop: () => server.stop() }
}
