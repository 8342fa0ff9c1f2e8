import type { Pool, ResultSetHeader } from 'mysql2/promise'
import type { NaiveRequest } from './naive-redis.ts'

const SCHEMA = `
CREATE TABLE IF NOT EXISTS operations (
  scope VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL, \`key\` VARCHAR(255) NOT NULL, input TEXT NOT NULL,
  state VARCHAR(16) NOT NULL, owner VARCHAR(64) NOT NULL, lease_until BIGINT NOT NULL, expires_at BIGINT NOT NULL, outcome TEXT,
  PRIMARY KEY (scope, name, \`key\`)
) ENGINE = InnoDB CHARACTER SET latin1`

const CLAIM = `
INSERT INTO operations (scope, name, \`key\`, input, state, owner, lease_until, expires_at) VALUES (?, ?, ?, ?, 'running', ?, ?, ?)`

const COMPLETE = `
UPDATE operations SET state = 'completed', outcome = ?, expires_at = ? WHERE scope = ? AND name = ? AND \`key\` = ? AND owner = ?`

const leaseMs = 10_000
const ttlMs = 86_400_000

/** What one writes in an afternoon: one prepared statement claims, one completes. As little as could work: see `NaiveRedis`. */
export class NaiveMysql {
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
    // A key that is not new is an error of the statement.
    await this.#pool.execute(CLAIM, [scope, name, key, JSON.stringify(input), owner, now + leaseMs, now + ttlMs])
    const value = await work()
    const result = [JSON.stringify(value), Date.now() + ttlMs]
    const [completed] = await this.#pool.execute<ResultSetHeader>(COMPLETE, [...result, scope, name, key, owner])
    if (completed.affectedRows !== 1) throw new Error('the naive shape only knows owners that are in time')
    return value
  }
}
