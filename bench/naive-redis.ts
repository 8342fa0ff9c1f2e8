import type { Redis } from 'ioredis'

/** What the naive shapes are called with. */
export interface NaiveRequest {
  readonly scope: string
  readonly name: string
  readonly key: string
  readonly input: unknown
}

const leaseMs = 10_000
const ttlMs = 86_400_000

/**
 * What one writes in an afternoon: `SET NX PX` claims, `SET PX` completes. It does the least that could work, and only for keys that are
 * new: no digests, no lease that is renewed, no fence, no waiting, no replays.
 */
export class NaiveRedis {
  readonly #client: Redis
  #owners = 0

  constructor(client: Redis) {
    this.#client = client
  }

  async run<Value>({ scope, name, key, input }: NaiveRequest, work: () => Promise<Value>): Promise<Value> {
    this.#owners += 1
    const place = `naive:${scope}:${name}:${key}`
    const claimed = await this.#client.set(place, JSON.stringify({ owner: this.#owners, input }), 'PX', leaseMs, 'NX')
    if (claimed !== 'OK') throw new Error('the naive shape only knows keys that are new')
    const value = await work()
    await this.#client.set(place, JSON.stringify({ input, value }), 'PX', ttlMs)
    return value
  }
}
