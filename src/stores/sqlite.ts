import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { ClosedError, OptionsError, StoreDataError, StoreOpenError } from '../core/errors.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { limits } from '../core/limits.ts'
import type { InterruptedPolicy } from '../core/policy.ts'
import type { OperationRecord, Outcome, RecordState, Step } from '../core/record.ts'
import type { InterruptionCause } from '../core/policy.ts'
import type { Guarantee, RecordFilter, RecordPage, RecordView, Store } from '../core/store.ts'
import {
  decideClaim,
  decideSettlement,
  type Claim,
  type ClaimResult,
  type Settlement,
  type SettleResult,
} from '../core/transitions.ts'
import { isMeant, viewAt } from '../core/view.ts'
import {
  named,
  openError,
  openFile,
  pragma,
  sqliteCode,
  type SqliteDatabase,
  type SqliteDriver,
  type SqliteStatement,
  type SqliteValue,
} from './sqlite-file.ts'
import { TransactionQueue } from './sqlite-queue.ts'

/** Options of the SQLite store. */
export interface SqliteOptions {
  /** The class of the database: better-sqlite3's `Database`, for example. @default `DatabaseSync` of `node:sqlite` */
  readonly driver?: SqliteDriver
  /** Prefix of the tables' names: letters, digits and `_`, at most 40. @default 'onceward' */
  readonly table?: string
  /** `never`: `open` creates nothing, and when the tables are missing its error shows the SQL to run. @default 'auto' */
  readonly migrate?: 'auto' | 'never'
  /** How long a call waits for a lock that another process holds on the file. @default '5s' */
  readonly busyTimeout?: Duration
  /** Added to the clock by which leases and expiry are judged: for tests. Milliseconds. @default () => 0 */
  readonly clockOffsetMs?: () => number
}

/**
 * Remembers operations in a SQLite file, which any number of processes of one machine may share.
 * @param path the file, created when missing; `':memory:'` keeps the records in the process
 * @throws OptionsError
 */
export function sqlite(path: string, options: SqliteOptions = {}): Store {
  return new SqliteStore(path, options)
}

/** The whole row but the body, which may be large. Words as bytes: Node 22 cuts a text at its first NUL. */
const SELECT_HEADS = `
SELECT id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint, ttl_ms, remember_ms, holds,
  attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept,
  CAST(meta AS BLOB) AS meta, NULL AS body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE id > ? ORDER BY id LIMIT ?`

const SELECT_RECORD = `
SELECT id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint, ttl_ms, remember_ms, holds,
  attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept,
  CAST(meta AS BLOB) AS meta, body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE id = ?`

/** Does nothing where there is a row, were it an expired one. */
const INSERT_RECORD = `
INSERT INTO "onceward" (id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at,
  state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept, meta, body, actor, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?, 0, NULL, NULL, NULL, NULL, NULL) ON CONFLICT (id) DO NOTHING`

const UPDATE_RECORD = `
UPDATE "onceward" SET state = ?, attempt = ?, owner = ?, lease_until = ?, cause = ?, ended_at = ?, expires_at = ?, steps = ?,
  kept = ?, meta = ?, body = ?, actor = ?, reason = ?
WHERE id = ?`

/**
 * The settlement table's commonest line in one statement: running, under this very fence, not expired, and without steps that would
 * have to go. Whatever else there is changes nothing here and is decided by the table itself.
 */
const COMPLETE_RECORD = `
UPDATE "onceward" SET state = 'completed', lease_until = ?, ended_at = ?, expires_at = ? + ttl_ms + remember_ms, kept = ?, meta = ?, body = ?
WHERE id = ? AND state = 'running' AND attempt = ? AND owner = ? AND steps = 0 AND (expires_at IS NULL OR expires_at > ?)`

const DELETE_RECORD = `DELETE FROM "onceward" WHERE id = ?`

const SELECT_STEPS = `SELECT CAST(name AS BLOB) AS name, kept, CAST(meta AS BLOB) AS meta, body FROM "onceward_steps" WHERE id = ? ORDER BY position`
const INSERT_STEP = `INSERT INTO "onceward_steps" (id, position, name, kept, meta, body) VALUES (?, ?, ?, ?, ?, ?)`
const DELETE_STEPS = `DELETE FROM "onceward_steps" WHERE id = ?`

/** The oldest first. A running record expires after its lease at the earliest, so that none with a live lease is among them. */
const DELETE_EXPIRED = `
DELETE FROM "onceward" WHERE rowid IN (SELECT rowid FROM "onceward" WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
RETURNING id, steps`

const MAKE_TOMBSTONES = `
UPDATE "onceward" SET state = 'tombstone', kept = NULL, meta = NULL, body = NULL WHERE rowid IN (
  SELECT rowid FROM "onceward" WHERE state = 'completed' AND remember_ms > 0 AND expires_at - remember_ms <= ?
  ORDER BY expires_at - remember_ms LIMIT ?)`

/** The statements of one connection, prepared once. */
type Statements = ReturnType<typeof prepareStatements>

function prepareStatements(database: SqliteDatabase, table: string) {
  const prepare = (sql: string): SqliteStatement => database.prepare(named(sql, table))
  return {
    selectHeads: prepare(SELECT_HEADS),
    selectRecord: prepare(SELECT_RECORD),
    insertRecord: prepare(INSERT_RECORD),
    updateRecord: prepare(UPDATE_RECORD),
    completeRecord: prepare(COMPLETE_RECORD),
    deleteRecord: prepare(DELETE_RECORD),
    selectSteps: prepare(SELECT_STEPS),
    insertStep: prepare(INSERT_STEP),
    deleteSteps: prepare(DELETE_STEPS),
    deleteExpired: prepare(DELETE_EXPIRED),
    makeTombstones: prepare(MAKE_TOMBSTONES),
  }
}

/** A row as it is read. */
interface Row {
  readonly id: Uint8Array
  readonly scope: Uint8Array
  readonly name: Uint8Array
  readonly key: Uint8Array
  readonly fingerprint: string
  readonly ttl_ms: number
  readonly remember_ms: number
  readonly holds: number
  readonly attempts_max: number
  readonly created_at: number
  readonly state: RecordState
  readonly attempt: number
  readonly owner: string
  readonly lease_until: number
  readonly cause: InterruptionCause | null
  readonly ended_at: number | null
  readonly expires_at: number | null
  readonly steps: number
  readonly kept: number | null
  readonly meta: Uint8Array | null
  readonly body: Uint8Array | null
  readonly actor: Uint8Array | null
  readonly reason: Uint8Array | null
}

/** What is there while the file is open. */
interface Open {
  readonly database: SqliteDatabase
  readonly queue: TransactionQueue
  readonly sql: Statements
}

/** A part of a listing. */
interface Slice {
  readonly meant: readonly RecordView[]
  /** After which identity it goes on; null at the end. */
  readonly next: Uint8Array | null
}

/** Rows looked at, and records removed, in one transaction of a listing, a purge or a sweep: others' calls go in between. */
const sliceRows = 200

/** Translates the transition tables; each decision is made inside a transaction that holds the file's write lock. */
class SqliteStore implements Store {
  readonly name = 'sqlite'
  readonly synchronous = true
  guarantee: Guarantee = { tier: 'best-effort', reason: 'the file has not been opened' }
  readonly #path: string
  readonly #driver: SqliteDriver | undefined
  readonly #table: string
  readonly #migrate: 'auto' | 'never'
  readonly #busyTimeoutMs: number
  readonly #now: () => number
  #opening: Promise<void> | undefined
  #open: Open | undefined
  #isClosed = false

  constructor(path: string, options: SqliteOptions) {
    checkOptions(path, options)
    const { driver, table = 'onceward', migrate = 'auto', busyTimeout, clockOffsetMs } = options
    this.#path = path
    this.#driver = driver
    this.#table = table
    this.#migrate = migrate
    this.#busyTimeoutMs = durationMs('busyTimeout', busyTimeout ?? limits.storeTimeoutMs)
    this.#now = clockOffsetMs === undefined ? Date.now : () => Date.now() + clockOffsetMs()
  }

  open(): Promise<void> {
    this.#opening ??= this.#openFile().catch((error: unknown) => {
      this.#opening = undefined
      throw openError(this.#path, error)
    })
    return this.#opening
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    const { queue, sql } = this.#opened()
    return queue.write((now) => claims.map((claim) => claimRecord(sql, claim, now)))
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    const { queue, sql } = this.#opened()
    return queue.write((now) => settlements.map((settlement) => settleRecord(sql, settlement, now)))
  }

  async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    const { queue, sql } = this.#opened()
    return queue.read((now) => ids.map((id) => viewAt(select(sql, bytes(id)), now)))
  }

  async list(filter: RecordFilter, limit: number, after = ''): Promise<RecordPage> {
    const { queue, sql } = this.#opened()
    const records: RecordView[] = []
    let from: Uint8Array | null = Buffer.from(after, 'hex')
    while (from !== null && records.length <= limit) {
      const start: Uint8Array = from
      const slice: Slice = await queue.read((now) => {
        const { meant, next } = sliceOf(sql, start, filter, now)
        const wanted = meant.slice(0, limit + 1 - records.length)
        return {
          meant: wanted.map(({ record }) => viewAt(select(sql, bytes(record.id)), now)).filter((view) => view !== null),
          next,
        }
      })
      records.push(...slice.meant)
      from = slice.next
      await nextTurn()
    }
    const page = records.slice(0, limit)
    return { records: page, next: records.length > limit ? (page.at(-1)?.record.id ?? null) : null }
  }

  async purge(filter: RecordFilter, limit: number): Promise<number> {
    const { queue, sql } = this.#opened()
    let purged = 0
    let from: Uint8Array | null = new Uint8Array(0)
    while (from !== null && purged < limit) {
      const start: Uint8Array = from
      const slice: { count: number; next: Uint8Array | null } = await queue.write((now) => {
        const { meant, next } = sliceOf(sql, start, filter, now)
        const removed = meant.filter(({ state }) => state !== 'running').slice(0, limit - purged)
        for (const { record } of removed) remove(sql, bytes(record.id))
        return { count: removed.length, next }
      })
      purged += slice.count
      from = slice.next
      await nextTurn()
    }
    return purged
  }

  async sweep(limit: number): Promise<number> {
    const { queue, sql } = this.#opened()
    let touched = 0
    while (touched < limit) {
      const wanted = Math.min(limit - touched, sliceRows)
      const count = await queue.write((now) => sweepSlice(sql, wanted, now))
      touched += count
      if (count < wanted) break
      await nextTurn()
    }
    return touched
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#opening?.catch(() => undefined)
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    // Behind everything queued before it; should that fail, its callers are told, and the file is closed all the same.
    await open.queue.read(() => undefined).catch(() => undefined)
    open.database.close()
  }

  #opened(): Open {
    if (this.#isClosed) throw new ClosedError()
    if (this.#open === undefined) throw new StoreOpenError('the SQLite store is not open; nothing was done: call open() first')
    return this.#open
  }

  /** Another process may have the file locked for a moment, as when it creates the same tables. */
  async #openFile(): Promise<void> {
    if (this.#isClosed) throw new ClosedError()
    const driver = this.#driver ?? (await import('node:sqlite')).DatabaseSync
    const deadline = performance.now() + this.#busyTimeoutMs
    for (;;) {
      try {
        const database = openFile({ driver, path: this.#path, table: this.#table, migrate: this.#migrate })
        const queue = new TransactionQueue({ database, busyTimeoutMs: this.#busyTimeoutMs, now: this.#now })
        this.#open = { database, queue, sql: prepareStatements(database, this.#table) }
        this.guarantee = guaranteeOf(database)
        return
      } catch (error) {
        if (sqliteCode(error) !== 'BUSY' || performance.now() >= deadline) throw error
      }
      await pause(2 + Math.random() * 8)
    }
  }
}

function checkOptions(path: unknown, { driver, table = 'onceward', migrate = 'auto' }: SqliteOptions): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new OptionsError(`path must be a file's path, not ${JSON.stringify(path)}: give one such as 'onceward.db'`)
  if (driver !== undefined && typeof driver !== 'function')
    throw new OptionsError(`driver must be a class such as better-sqlite3's Database, not ${typeof driver}`)
  if (typeof table !== 'string' || !/^(?!sqlite_)[a-z_][a-z0-9_]{0,39}$/i.test(table))
    throw new OptionsError(
      `table is ${JSON.stringify(table)}: give letters, digits and '_', at most 40, not beginning with a digit or 'sqlite_'`,
    )
  if (migrate !== 'auto' && migrate !== 'never')
    throw new OptionsError(`migrate is ${JSON.stringify(migrate)}: give 'auto' or 'never'`)
}

/** From the settings in force, whoever made them. */
function guaranteeOf(database: SqliteDatabase): Guarantee {
  const mode = pragma(database, 'journal_mode')
  const synchronous = Number(pragma(database, 'synchronous'))
  if (mode === 'memory') return { tier: 'best-effort', reason: 'records are kept in this process (:memory:) and vanish with it' }
  if (synchronous < 2)
    return { tier: 'best-effort', reason: `synchronous is ${synchronous}: a commit can be lost when the machine loses power` }
  return {
    tier: 'atomic',
    reason: `journal_mode=${String(mode)}, synchronous=FULL: a commit is on the disk before it is acknowledged; effects outside this file are fenced only`,
  }
}

/** The insertion is the decision where there is no row; where there is one that has not expired, the table decides. */
function claimRecord(sql: Statements, claim: Claim, now: number): ClaimResult {
  const id = bytes(claim.id)
  const first = decideClaim(null, claim, now)
  if (insert(sql, id, first.record)) return first.result
  const record = select(sql, id)
  if (viewAt(record, now) === null) {
    remove(sql, id)
    insert(sql, id, first.record)
    return first.result
  }
  const { result, record: after } = decideClaim(record, claim, now)
  write(sql, id, record, after)
  return result
}

function settleRecord(sql: Statements, settlement: Settlement, now: number): SettleResult {
  const id = bytes(settlement.id)
  if (settlement.kind === 'complete' && complete(sql, id, settlement, now)) return 'ok'
  const record = select(sql, id)
  const { result, record: after } = decideSettlement(record, settlement, now)
  write(sql, id, record, after)
  return result
}

function complete(
  sql: Statements,
  id: Uint8Array,
  { outcome, attempt, owner }: Extract<Settlement, { kind: 'complete' }>,
  now: number,
): boolean {
  const { kept, meta, body } = outcome
  return sql.completeRecord.run(now, now, now, Number(kept), meta, body, id, attempt, owner, now).changes === 1
}

function insert(sql: Statements, id: Uint8Array, record: OperationRecord | null): boolean {
  if (record === null) return false
  const { scope, name, key, fingerprint, policy, createdAt, state, attempt, owner, leaseUntil, expiresAt } = record
  const { ttlMs, rememberMs, interrupted, attemptsMax } = policy
  const holds = holdsOf(interrupted)
  const row = [
    id,
    scope,
    name,
    key,
    fingerprint,
    ttlMs,
    rememberMs,
    holds,
    attemptsMax,
    createdAt,
    state,
    attempt,
    owner,
    leaseUntil,
    expiresAt,
  ]
  return sql.insertRecord.run(...row).changes === 1
}

/** What the decision changed; nothing when it gave back the record that it was given. */
function write(sql: Statements, id: Uint8Array, before: OperationRecord | null, after: OperationRecord | null): void {
  if (after === before) return
  if (after === null) return remove(sql, id)
  const { state, attempt, owner, leaseUntil, cause, endedAt, expiresAt, steps, outcome, resolution } = after
  const kept = outcome === null ? [null, null, null] : [Number(outcome.kept), outcome.meta, outcome.body]
  const row: SqliteValue[] = [state, attempt, owner, leaseUntil, cause, endedAt, expiresAt, steps.length, ...kept]
  sql.updateRecord.run(...row, resolution?.actor ?? null, resolution?.reason ?? null, id)
  writeSteps(sql, id, before?.steps ?? [], steps)
}

/** Steps are only ever added, or all removed. */
function writeSteps(sql: Statements, id: Uint8Array, before: readonly Step[], after: readonly Step[]): void {
  if (after.length < before.length) sql.deleteSteps.run(id)
  for (const [position, { name, result }] of after.entries())
    if (position >= before.length) sql.insertStep.run(id, position, name, Number(result.kept), result.meta, result.body)
}

function remove(sql: Statements, id: Uint8Array): void {
  sql.deleteRecord.run(id)
  sql.deleteSteps.run(id)
}

/** The next rows in the order of the identities: which are meant, without their bodies, and where to go on. */
function sliceOf(sql: Statements, after: Uint8Array, filter: RecordFilter, now: number): Slice {
  const rows = sql.selectHeads.all(after, sliceRows) as Row[]
  const views = rows.map((row) => viewAt(recordOf(row, []), now))
  const meant = views.filter((view) => view !== null).filter((view) => isMeant(view, filter, now))
  return { meant, next: rows.length < sliceRows ? null : (rows.at(-1)?.id ?? null) }
}

function sweepSlice(sql: Statements, limit: number, now: number): number {
  const expired = sql.deleteExpired.all(now, limit) as Pick<Row, 'id' | 'steps'>[]
  for (const { id, steps } of expired) if (steps > 0) sql.deleteSteps.run(id)
  return expired.length + Number(sql.makeTombstones.run(now, limit - expired.length).changes)
}

function select(sql: Statements, id: Uint8Array): OperationRecord | null {
  const row = sql.selectRecord.get(id) as Row | undefined
  if (row === undefined) return null
  const steps = row.steps === 0 ? [] : (sql.selectSteps.all(id) as StepRow[])
  return recordOf(row, steps.map(stepOf))
}

type StepRow = Pick<Row, 'name' | 'kept' | 'meta' | 'body'>

function stepOf({ name, kept, meta, body }: StepRow): Step {
  return { name: text(name), result: outcomeOf({ kept: kept ?? 0, meta, body }) }
}

function recordOf(row: Row, steps: readonly Step[]): OperationRecord {
  const { fingerprint, state, attempt, owner, cause, kept, meta, body, actor, reason } = row
  return {
    id: Buffer.from(row.id).toString('hex'),
    scope: text(row.scope),
    name: text(row.name),
    key: text(row.key),
    fingerprint,
    policy: {
      ttlMs: row.ttl_ms,
      rememberMs: row.remember_ms,
      interrupted: interruptedOf(row.holds),
      attemptsMax: row.attempts_max,
    },
    state,
    attempt,
    owner,
    leaseUntil: row.lease_until,
    cause,
    createdAt: row.created_at,
    endedAt: row.ended_at,
    expiresAt: row.expires_at,
    outcome: kept === null ? null : outcomeOf({ kept, meta, body }),
    steps,
    resolution: actor === null || reason === null ? null : { actor: text(actor), reason: text(reason) },
  }
}

function outcomeOf({ kept, meta, body }: { kept: number; meta: Uint8Array | null; body: Uint8Array | null }): Outcome {
  return { kept: kept === 1, meta: text(meta ?? new Uint8Array(0)), body: plain(body ?? new Uint8Array(0)) }
}

/** A bit for each cause after which the operation is held. */
function holdsOf({ answered, thrown, lapsed }: InterruptedPolicy): number {
  return (answered === 'hold' ? 1 : 0) + (thrown === 'hold' ? 2 : 0) + (lapsed === 'hold' ? 4 : 0)
}

function interruptedOf(holds: number): InterruptedPolicy {
  const rule = (bit: number): 'hold' | 'retry' => ((holds & bit) === 0 ? 'retry' : 'hold')
  return { answered: rule(1), thrown: rule(2), lapsed: rule(4) }
}

/** The identity as it is stored. Anything else would be cut at its first other character, and two operations share a row. */
function bytes(id: string): Uint8Array {
  const blob = Buffer.from(id, 'hex')
  if (blob.length !== 32 || id.length !== 64) throw new StoreDataError(`'${id}' is no identity: give 64 hexadecimal digits`)
  return blob
}

function text(blob: Uint8Array): string {
  return Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength).toString()
}

/** better-sqlite3 hands out Buffers, whose methods are not quite those of bytes. */
function plain(blob: Uint8Array): Uint8Array {
  return new Uint8Array(blob.buffer, blob.byteOffset, blob.byteLength)
}
