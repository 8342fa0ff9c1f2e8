import { setTimeout as pause } from 'node:timers/promises'
import { StoreDataError } from '../core/errors.ts'
import { sqlState, UnconfirmedCommit, type PostgresDriver, type PostgresRow, type PostgresValue } from './postgres-clients.ts'
import { named, type PostgresTables } from './postgres-schema.ts'
import { CONFIRM, frequent } from './postgres-sql.ts'

/** Tries of a statement that a stricter isolation than READ COMMITTED, the database's default here, had rolled back. */
const conflictTriesMax = 50

/** Sends the store's statements to one database, and says what their errors mean. */
export class PostgresStatements {
  readonly #driver: PostgresDriver
  readonly #tables: PostgresTables
  readonly #clockOffsetMs: () => number
  readonly #texts = new Map<string, string>()
  /** A commit of this process was not waited for: nothing is acknowledged before one that is. */
  #isUnconfirmed = false

  constructor(driver: PostgresDriver, tables: PostgresTables, clockOffsetMs: () => number) {
    this.#driver = retrying(driver)
    this.#tables = tables
    this.#clockOffsetMs = clockOffsetMs
  }

  /** What is added to the server's clock, as a parameter. */
  get offset(): string {
    return String(Math.round(this.#clockOffsetMs()))
  }

  /**
   * One statement, a transaction of its own.
   * @throws StoreDataError when the server refuses its data; after any other error it is unknown whether it was applied
   */
  async query(sql: string, values: PostgresValue[]): Promise<readonly PostgresRow[]> {
    try {
      await this.confirm()
      return await this.#driver.query(this.#text(sql), values, frequent.has(sql))
    } catch (error) {
      this.note(error)
      throw failure(error)
    }
  }

  /** Sees to it that what this process has committed is as durable as was promised. */
  async confirm(): Promise<void> {
    if (!this.#isUnconfirmed) return
    await this.#driver.query(this.#text(CONFIRM), [])
    this.#isUnconfirmed = false
  }

  /** Remembers a commit that was not waited for. */
  note(error: unknown): void {
    if (error instanceof UnconfirmedCommit) this.#isUnconfirmed = true
  }

  #text(sql: string): string {
    const text = this.#texts.get(sql) ?? named(sql, this.#tables)
    this.#texts.set(sql, text)
    return text
  }
}

/** Postgres rolled it back because of others (40001, 40P01): nothing was applied, and the same may succeed. */
function isConflict(error: unknown): boolean {
  const state = sqlState(error)
  return state === '40001' || state === '40P01'
}

/** A driver that sends again what a stricter default isolation, such as SERIALIZABLE, had rolled back. */
export function retrying(driver: PostgresDriver): PostgresDriver {
  const again = async <Result>(send: () => Promise<Result>): Promise<Result> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await send()
      } catch (error) {
        if (!isConflict(error) || tries >= conflictTriesMax) throw error
      }
      await pause(Math.random() * Math.min(tries, 10))
    }
  }
  return {
    kind: driver.kind,
    query: async (text, values, isFrequent) => again(async () => driver.query(text, values, isFrequent)),
    script: async (text) => again(async () => driver.script(text)),
    subscribe: async (channel, subscriber) => driver.subscribe(channel, subscriber),
  }
}

/** Class 22 is the data's, 54 its size. After any other error it is unknown whether the statement was applied. */
function failure(error: unknown): Error {
  const state = sqlState(error)
  const message = error instanceof Error ? error.message : String(error)
  if (state !== undefined && /^(22|54)/.test(state))
    return new StoreDataError(`Postgres refused the data of a call (${message}); none of it was applied`, { cause: error })
  return new Error(`Postgres failed (${message}); the call may be made again`, { cause: error })
}
