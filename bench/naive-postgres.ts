import type { Pool } from 'pg'
import type { NaiveRequest } from './naive-redis.ts'

const SCHEMA = `
CREATE TABLE IF NOT EXISTS operations (
  scope text, name text, key text, input text NOT NULL, state text NOT NULL, owner text NOT NULL,
  lease_until bigint NOT NULL, expires_at bigint NOT NULL, outcome text, PRIMARY KEY (scope, name, key)
)`

const CLAIM = `
INSERT INTO operations (scope, name, key, input, state, owner, lease_until, expires_at)
VALUES ($1, $2, $3, $4, 'running', $5, $6, $7) ON CONFLICT DO NOTHING`

const COMPLETE = `
UPDATE operations SET state = 'completed', outcome = $1, expires_at = $2 WHERE scope = $3 AND name = $4 AND key = $5 AND owner = $6`

const leaseMs = 10_000
const ttlMs = 86_400_000

/** What one writes in an afternoon: one statement claims, one completes. As little as could work: see `NaiveRedis`. */
export class NaivePostgres {
  readonly #pool: Pool
  #owners = 0

  constructor(pool: Pool) {
    this.#pool = pool
  }

  async open(): Promise<void> {
    await this.#pool.query(SCHEMA)
  }

  async run<Value>({ scope, name, key, input }: NaiveRequest, work: () => Promise<Value>): Promise<Value> {
    this.#owners += 1
    const owner = String(this.#owners)
    const now = Date.now()
    const words = [scope, name, key, JSON.stringify(input), owner]
    const claimed = await this.#pool.query(CLAIM, [...words, now + leaseMs, now + ttlMs])
    if (claimed.rowCount !== 1) throw new Error('the naive shape only knows keys that are new')
    const value = await work()
    const completed = await this.#pool.query(COMPLETE, [JSON.stringify(value), Date.now() + ttlMs, scope, name, key, owner])
    if (completed.rowCount !== 1) throw new Error('the naive shape only knows owners that are in time')
    return value
  }
}
