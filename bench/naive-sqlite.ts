import { DatabaseSync, type StatementSync } from 'node:sqlite'

const SCHEMA = `
CREATE TABLE operations (
  scope TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
  input TEXT NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL, lease_until INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  outcome TEXT,
  PRIMARY KEY (scope, name, key)
)`

const CLAIM = `
INSERT INTO operations (scope, name, key, input, state, owner, lease_until, expires_at)
VALUES (?, ?, ?, ?, 'running', ?, ?, ?) ON CONFLICT DO NOTHING`

const COMPLETE = `UPDATE operations SET state = 'completed', outcome = ?, expires_at = ? WHERE scope = ? AND name = ? AND key = ? AND owner = ?`

/** What the naive shape is called with. */
export interface NaiveRequest {
  readonly scope: string
  readonly name: string
  readonly key: string
  readonly input: unknown
}

/**
 * What one writes in an afternoon: a transaction for each claim and one for each completion, each as durable as Onceward's, with
 * prepared statements. It does the least that could work, and only for keys that are new: no digests, no waiting, no replays.
 */
export class NaiveSqlite {
  readonly #database: DatabaseSync
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #claim: StatementSync
  readonly #complete: StatementSync
  #owners = 0

  constructor(path: string) {
    this.#database = new DatabaseSync(path)
    this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; ${SCHEMA}`)
    this.#begin = this.#database.prepare('BEGIN IMMEDIATE')
    this.#commit = this.#database.prepare('COMMIT')
    this.#claim = this.#database.prepare(CLAIM)
    this.#complete = this.#database.prepare(COMPLETE)
  }

  async run<Value>({ scope, name, key, input }: NaiveRequest, work: () => Promise<Value>): Promise<Value> {
    this.#owners += 1
    const owner = String(this.#owners)
    const now = Date.now()
    this.#write(this.#claim, [scope, name, key, JSON.stringify(input), owner, now + 10_000, now + 86_400_000])
    const value = await work()
    this.#write(this.#complete, [JSON.stringify(value), Date.now() + 86_400_000, scope, name, key, owner])
    return value
  }

  close(): void {
    this.#database.close()
  }

  #write(statement: StatementSync, values: (string | number)[]): void {
    this.#begin.run()
    const { changes } = statement.run(...values)
    if (changes !== 1) throw new Error('the naive shape only knows keys that are new')
    this.#commit.run()
  }
}
