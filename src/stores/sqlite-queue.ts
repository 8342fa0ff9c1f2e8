import { StoreDataError } from '../core/errors.ts'
import { isLocked, rollBack, sqliteCode, type SqliteDatabase, type SqliteStatement } from './sqlite-file.ts'

/** Work inside a transaction, at its time: milliseconds since 1970. It may be run more than once, after a rollback. */
export type Work<Result> = (now: number) => Result

interface Job {
  readonly writes: boolean
  /** When waiting for the file's lock ends. Milliseconds of the monotonic clock. */
  readonly deadline: number
  /** Does the work; what it returns tells the caller, once the transaction is committed. */
  run(now: number): () => void
  reject(error: unknown): void
}

/**
 * Pause between two tries to lock the file, spread so that processes which met once do not meet again. Milliseconds. Not doubled: in
 * between others take the lock again and again, and a longer pause was measured to starve whoever makes it; a try costs 20 µs.
 */
const pauseMs = { least: 1, most: 2 }

/** What a queue is given. */
export interface QueueOptions {
  readonly database: SqliteDatabase
  /** How long a job waits for a lock that another process holds. Milliseconds. */
  readonly busyTimeoutMs: number
  /** The time by which the work decides. Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * One file's work, in order. All that is asked for in one turn of the loop goes into one transaction, so that it costs one commit,
 * made before anybody is answered. The thread never waits for a lock: the queue tries again by a timer.
 */
export class TransactionQueue {
  readonly #database: SqliteDatabase
  readonly #busyTimeoutMs: number
  readonly #now: () => number
  readonly #begin: SqliteStatement
  readonly #beginImmediate: SqliteStatement
  readonly #commit: SqliteStatement
  #jobs: Job[] = []
  #isScheduled = false
  #isBusy = false

  constructor({ database, busyTimeoutMs, now }: QueueOptions) {
    this.#database = database
    this.#busyTimeoutMs = busyTimeoutMs
    this.#now = now
    this.#begin = database.prepare('BEGIN')
    // The write lock is taken first: a transaction that reads and then wants to write could find that it must start anew.
    this.#beginImmediate = database.prepare('BEGIN IMMEDIATE')
    this.#commit = database.prepare('COMMIT')
  }

  /** Resolves when what the work wrote is committed. */
  write<Result>(work: Work<Result>): Promise<Result> {
    return this.#add(work, true)
  }

  /** As `write`, for work that only reads; alone in its turn it takes no lock. */
  read<Result>(work: Work<Result>): Promise<Result> {
    return this.#add(work, false)
  }

  #add<Result>(work: Work<Result>, writes: boolean): Promise<Result> {
    return new Promise((resolve, reject) => {
      const run = (now: number): (() => void) => {
        const result = work(now)
        return () => resolve(result)
      }
      this.#jobs.push({ writes, deadline: performance.now() + this.#busyTimeoutMs, run, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled || this.#jobs.length === 0) return
    this.#isScheduled = true
    if (this.#isBusy) setTimeout(this.#drain, pauseMs.least + Math.random() * (pauseMs.most - pauseMs.least))
    else queueMicrotask(this.#drain)
  }

  readonly #drain = (): void => {
    this.#isScheduled = false
    const jobs = this.#jobs
    this.#jobs = []
    this.#transact(jobs)
    this.#schedule()
  }

  /** `running` is the job whose work is being done, if any: the one to blame for an error of its data. */
  #transact(jobs: readonly Job[]): void {
    let running: Job | undefined
    try {
      const begin = jobs.some(({ writes }) => writes) ? this.#beginImmediate : this.#begin
      begin.run()
      const now = this.#now()
      const answers = jobs.map((job) => {
        running = job
        return job.run(now)
      })
      running = undefined
      this.#commit.run()
      this.#isBusy = false
      for (const answer of answers) answer()
    } catch (error) {
      rollBack(this.#database)
      this.#failed(jobs, running, error)
    }
  }

  /** Nothing was applied. Decisions may be made again: those that are not to blame go first in the next transaction. */
  #failed(jobs: readonly Job[], running: Job | undefined, error: unknown): void {
    this.#isBusy = isLocked(error)
    if (this.#isBusy) return this.#tryLater(jobs, error)
    if (running === undefined || !isOfData(error)) return rejectAll(jobs, failure(error))
    running.reject(
      new StoreDataError(`SQLite refused the data of one call (${messageOf(error)}); none of it was applied`, { cause: error }),
    )
    this.#jobs = jobs.filter((job) => job !== running)
  }

  #tryLater(jobs: readonly Job[], cause: unknown): void {
    const now = performance.now()
    const late = jobs.filter(({ deadline }) => deadline <= now)
    const message = `another process has the SQLite file locked for more than ${this.#busyTimeoutMs} ms; nothing was applied: the call may be made again`
    rejectAll(late, new Error(message, { cause }))
    this.#jobs = jobs.filter(({ deadline }) => deadline > now)
  }
}

function rejectAll(jobs: readonly Job[], error: unknown): void {
  for (const job of jobs) job.reject(error)
}

/** Errors that are not of the file concern the one job whose work threw: its data, or a record that contradicts itself. */
function isOfData(error: unknown): boolean {
  const code = sqliteCode(error)
  return code === undefined || code === 'TOOBIG' || code === 'CONSTRAINT' || code === 'MISMATCH'
}

function failure(error: unknown): Error {
  const remedy = sqliteCode(error) === 'FULL' ? 'the disk is full; free space' : 'check the disk and the file'
  return new Error(`SQLite failed (${messageOf(error)}): ${remedy}; the call may be made again`, { cause: error })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
