import type { Redis } from 'ioredis'

/** What the naive shape is called with. */
export interface NaiveRequest {
  readonly scope: string
  readonly name: string
  readonly key: string
  readonly input: unknown
}

const leaseMs = 10_000
const ttlMs = 86_400_000

/** Compares the owner, so that a late one overwrites nothing. */
const COMPLETE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`

/**
 * What one writes in an afternoon: `SET NX PX` claims, a script completes. It does the least that could work, and only for keys that are
 * new: no digests, no lease that is renewed, no waiting, no replays.
 */
export class NaiveRedis {
  readonly #client: Redis & { complete?: (key: string, owner: string, outcome: string, ttl: number) => Promise<unknown> }
  #owners = 0

  constructor(client: Redis) {
    this.#client = client
    client.defineCommand('complete', { numberOfKeys: 1, lua: COMPLETE })
  }

  async run<Value>({ scope, name, key, input }: NaiveRequest, work: () => Promise<Value>): Promise<Value> {
    this.#owners += 1
    const place = `naive:${scope}:${name}:${key}`
    const running = JSON.stringify({ owner: this.#owners, input })
    const claimed = await this.#client.set(place, running, 'PX', leaseMs, 'NX')
    if (claimed !== 'OK') throw new Error('the naive shape only knows keys that are new')
    const value = await work()
    const completed = await this.#client.complete?.(place, running, JSON.stringify({ input, value }), ttlMs)
    if (completed !== 1) throw new Error('the naive shape only knows owners that are in time')
    return value
  }
}
