import { StoreDataError } from '../core/errors.ts'
import type { InterruptedPolicy, InterruptionCause, Policy } from '../core/policy.ts'
import { outcomeUntil, stateAt, type OperationRecord, type Outcome, type RecordState, type Step } from '../core/record.ts'
import type { RecordFilter, RecordView } from '../core/store.ts'
import {
  decideClaim,
  decideSettlement,
  type Claim,
  type ClaimResult,
  type Settlement,
  type SettleResult,
} from '../core/transitions.ts'
import { isMeant, viewAt } from '../core/view.ts'
import { named, type SqliteDatabase, type SqliteStatement, type SqliteValue } from './sqlite-file.ts'

/** What a claim looks at first, and where most find all they need: no row, or an outcome. */
const SELECT_OUTCOME = `
SELECT fingerprint, state, ended_at + ttl_ms AS outcome_until, kept, CAST(meta AS BLOB) AS meta, body
FROM "onceward" WHERE substr(id, 1, 16) = substr(?, 1, 16) AND id = ?`

/** A first attempt. That there is no row yet is known from this same transaction. */
const INSERT_RECORD = `
INSERT INTO "onceward" (id, scope, name, key, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at,
  state, attempt, owner, lease_until, expires_at, steps, sweep_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', 1, ?, ?, ?, 0, ?)`

/** A record that comes completed, from the transaction of its effects: every column. */
export const INSERT_COMPLETED = `
INSERT INTO "onceward" (id, scope, name, key, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at,
  state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept, meta, body, actor, reason, sweep_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

/**
 * The commonest line of the settlement table in one statement: running, not expired, under this very fence, and without steps that
 * would have to go. There the table says completed, with these times. Where the condition fails nothing changes, and the table
 * itself decides. `sweep_at` was set by a claim or renewal, no later than this, and so is early enough.
 */
const COMPLETE_RECORD = `
UPDATE "onceward" SET state = 'completed', lease_until = ?, ended_at = ?, expires_at = ? + ttl_ms + remember_ms,
  kept = ?, meta = ?, body = ?
WHERE substr(id, 1, 16) = substr(?, 1, 16) AND id = ?
  AND state = 'running' AND attempt = ? AND owner = ? AND steps = 0 AND (expires_at IS NULL OR expires_at > ?)`

/** Words are read as bytes: Node 22 cuts a text at its first NUL. */
export const SELECT_RECORD = `
SELECT rowid, id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint, generation,
  ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps,
  kept, CAST(meta AS BLOB) AS meta, body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE substr(id, 1, 16) = substr(?, 1, 16) AND id = ?`

/**
 * As above, the next ones in the order of the identities, without the bodies: they may be large, and most are not meant. A listing
 * begins behind no bytes, of which `substr` makes NULL.
 */
const SELECT_SLICE = `
SELECT rowid, id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint, generation,
  ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps,
  kept, CAST(meta AS BLOB) AS meta, NULL AS body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE substr(id, 1, 16) >= ifnull(substr(?, 1, 16), x'') AND id > ? ORDER BY substr(id, 1, 16), id LIMIT ?`

/** As above, records that may have expired; their own times tell. */
const SELECT_DUE = `
SELECT rowid, id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint, generation,
  ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps,
  kept, CAST(meta AS BLOB) AS meta, NULL AS body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ?`

/** What was read is written by its rowid, which is its own until the transaction ends. */
export const UPDATE_RECORD = `
UPDATE "onceward" SET state = ?, attempt = ?, owner = ?, lease_until = ?, cause = ?, ended_at = ?, expires_at = ?, steps = ?,
  kept = ?, meta = ?, body = ?, actor = ?, reason = ?, sweep_at = ?
WHERE rowid = ?`

const MAKE_TOMBSTONE = `
UPDATE "onceward" SET state = 'tombstone', kept = NULL, meta = NULL, body = NULL, sweep_at = expires_at WHERE rowid = ?`

const SWEEP_LATER = `UPDATE "onceward" SET sweep_at = ? WHERE rowid = ?`

/** Removes what was read, as above. */
export const DELETE_RECORD = `DELETE FROM "onceward" WHERE rowid = ?`

/** A record's steps, in their order. */
export const SELECT_STEPS = `
SELECT CAST(name AS BLOB) AS name, kept, CAST(meta AS BLOB) AS meta, body FROM "onceward_steps" WHERE id = ? ORDER BY position`

const INSERT_STEP = `INSERT INTO "onceward_steps" (id, position, name, kept, meta, body) VALUES (?, ?, ?, ?, ?, ?)`

/** All steps of a record. */
export const DELETE_STEPS = `DELETE FROM "onceward_steps" WHERE id = ?`

/** The columns of an outcome, or of a step's result. */
interface ResultRow {
  readonly kept: number | null
  readonly meta: Uint8Array | null
  readonly body: Uint8Array | null
}

interface StepRow extends ResultRow {
  readonly name: Uint8Array
}

interface OutcomeRow extends ResultRow {
  readonly fingerprint: string
  readonly state: RecordState
  readonly outcome_until: number | null
}

interface Row extends ResultRow {
  readonly rowid: number
  readonly id: Uint8Array
  readonly scope: Uint8Array
  readonly name: Uint8Array
  readonly key: Uint8Array
  readonly fingerprint: string
  readonly generation: string
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
  readonly actor: Uint8Array | null
  readonly reason: Uint8Array | null
}

/** A record and where it lies. */
export interface Found {
  readonly row: Row
  readonly record: OperationRecord
}

/** Which records are meant: at most `limit` of those behind the identity `after`. */
export interface Wanted {
  readonly filter: RecordFilter
  readonly after: string
  readonly limit: number
}

/** What one slice of a long call did. */
export interface Slice<Result> {
  readonly result: Result
  /** The identity after which it goes on; null at the end. */
  readonly next: string | null
}

/** Rows looked at in one transaction of a listing, a purge or a sweep: the calls of others go in between. */
const sliceRows = 100

/**
 * The records of one file. Every method is to be called inside a transaction, and one that changes something inside one that holds
 * the write lock: between its reading and its writing nobody else decides.
 */
export class SqliteRecords {
  readonly #selectOutcome: SqliteStatement
  readonly #insert: SqliteStatement
  readonly #complete: SqliteStatement
  readonly #select: SqliteStatement
  readonly #selectSlice: SqliteStatement
  readonly #selectDue: SqliteStatement
  readonly #update: SqliteStatement
  readonly #makeTombstone: SqliteStatement
  readonly #sweepLater: SqliteStatement
  readonly #delete: SqliteStatement
  readonly #selectSteps: SqliteStatement
  readonly #insertStep: SqliteStatement
  readonly #deleteSteps: SqliteStatement

  constructor(database: SqliteDatabase, table: string) {
    const prepare = (sql: string): SqliteStatement => database.prepare(named(sql, table))
    this.#selectOutcome = prepare(SELECT_OUTCOME)
    this.#insert = prepare(INSERT_RECORD)
    this.#complete = prepare(COMPLETE_RECORD)
    this.#select = prepare(SELECT_RECORD)
    this.#selectSlice = prepare(SELECT_SLICE)
    this.#selectDue = prepare(SELECT_DUE)
    this.#update = prepare(UPDATE_RECORD)
    this.#makeTombstone = prepare(MAKE_TOMBSTONE)
    this.#sweepLater = prepare(SWEEP_LATER)
    this.#delete = prepare(DELETE_RECORD)
    this.#selectSteps = prepare(SELECT_STEPS)
    this.#insertStep = prepare(INSERT_STEP)
    this.#deleteSteps = prepare(DELETE_STEPS)
  }

  /** Where there is no row, or an outcome that has not outlived its ttl, the transition table has one line each; else it decides. */
  claim(claim: Claim, now: number): ClaimResult {
    const id = bytes(claim.id)
    const row = this.#selectOutcome.get(id, id) as OutcomeRow | undefined
    if (row === undefined) return this.#begin(id, claim, now)
    if (row.state !== 'completed' || (row.outcome_until ?? 0) <= now) return this.#decide(id, claim, now)
    return row.fingerprint === claim.fingerprint ? { state: 'completed', outcome: outcomeOf(row) } : { state: 'mismatch' }
  }

  settle(settlement: Settlement, now: number): SettleResult {
    const id = bytes(settlement.id)
    if (settlement.kind === 'complete' && this.#completed(id, settlement, now)) return 'ok'
    const found = this.#find(id)
    const { result, record } = decideSettlement(found?.record ?? null, settlement, now)
    if (found !== null) this.#write(found, record, now)
    return result
  }

  view(id: string, now: number): RecordView | null {
    return viewAt(this.#find(bytes(id))?.record ?? null, now)
  }

  /** Of the next rows in the order of the identities those that are meant. */
  list({ filter, after, limit }: Wanted, now: number): Slice<readonly RecordView[]> {
    const { result: rows, next } = this.#slice(after)
    const meant = rows.filter((row) => isMeantRow(row, filter, now)).slice(0, limit)
    return { result: meant.map(({ id }) => this.view(hex(id), now)).filter((view) => view !== null), next }
  }

  /** As above: removes them, unless they are running, and says how many they were. */
  purge({ filter, after, limit }: Wanted, now: number): Slice<number> {
    const { result: rows, next } = this.#slice(after)
    const meant = rows.filter((row) => isMeantRow(row, filter, now) && viewAt(recordOf(row, []), now)?.state !== 'running')
    const removed = meant.slice(0, limit)
    for (const row of removed) this.#remove(row)
    return { result: removed.length, next }
  }

  /** Looks at those records, at most `limit`, that are due first: of how many something was removed, and whether more may be due. */
  sweep(limit: number, now: number): { readonly looked: number; readonly touched: number; readonly more: boolean } {
    const rows = Math.min(limit, sliceRows)
    const due = this.#selectDue.all(now, rows) as Row[]
    const touched = due.filter((row) => this.#swept(row, now))
    return { looked: due.length, touched: touched.length, more: due.length === rows }
  }

  #begin(id: Uint8Array, claim: Claim, now: number): ClaimResult {
    const { result, record } = decideClaim(null, claim, now)
    if (record !== null) this.#add(id, record, now)
    return result
  }

  #add(id: Uint8Array, record: OperationRecord, now: number): void {
    const { scope, name, key, fingerprint, generation, policy, createdAt, owner, leaseUntil, expiresAt } = record
    const words = [scope, name, key, fingerprint, generation]
    this.#insert.run(id, ...words, ...policyValues(policy), createdAt, owner, leaseUntil, expiresAt, sweepAt(record, now))
  }

  #decide(id: Uint8Array, claim: Claim, now: number): ClaimResult {
    const found = this.#find(id)
    if (found === null || viewAt(found.record, now) === null) {
      if (found !== null) this.#remove(found.row)
      return this.#begin(id, claim, now)
    }
    const { result, record } = decideClaim(found.record, claim, now)
    this.#write(found, record, now)
    return result
  }

  #completed(id: Uint8Array, { outcome, attempt, owner }: Extract<Settlement, { kind: 'complete' }>, now: number): boolean {
    return this.#complete.run(now, now, now, ...resultValues(outcome), id, id, attempt, owner, now).changes === 1
  }

  /** What a decision changed: nothing when it gave back the record that it was given. */
  #write({ row, record: before }: Found, after: OperationRecord | null, now: number): void {
    if (after === before) return
    if (after === null) return this.#remove(row)
    this.#update.run(...changingValues(after, now), row.rowid)
    // Steps are added behind those there are, or all removed.
    if (after.steps.length < before.steps.length) this.#deleteSteps.run(row.id)
    for (const [position, { name, result }] of after.steps.entries())
      if (position >= before.steps.length) this.#insertStep.run(row.id, position, name, ...resultValues(result))
  }

  #remove({ rowid, id }: Row): void {
    this.#delete.run(rowid)
    this.#deleteSteps.run(id)
  }

  #find(id: Uint8Array): Found | null {
    const row = this.#select.get(id, id) as Row | undefined
    return row === undefined ? null : foundOf(row, row.steps === 0 ? [] : this.#selectSteps.all(id))
  }

  #slice(after: string): Slice<readonly Row[]> {
    const id = Buffer.from(after, 'hex')
    const rows = this.#selectSlice.all(id, id, sliceRows) as Row[]
    const last = rows.length < sliceRows ? undefined : rows.at(-1)
    return { result: rows, next: last === undefined ? null : hex(last.id) }
  }

  #swept(row: Row, now: number): boolean {
    const record = recordOf(row, [])
    const state = stateAt(record, now)
    if (state === 'absent') this.#remove(row)
    else if (state === 'expired' && record.state === 'completed') this.#makeTombstone.run(row.rowid)
    else {
      this.#sweepLater.run(sweepAt(record, now), row.rowid)
      return false
    }
    return true
  }
}

function isMeantRow(row: Row, filter: RecordFilter, now: number): boolean {
  const view = viewAt(recordOf(row, []), now)
  return view !== null && isMeant(view, filter, now)
}

/** The parameters of `INSERT_COMPLETED`. */
export function completedValues(record: OperationRecord, now: number): SqliteValue[] {
  const { id, scope, name, key, fingerprint, generation, policy, createdAt } = record
  return [
    bytes(id),
    scope,
    name,
    key,
    fingerprint,
    generation,
    ...policyValues(policy),
    createdAt,
    ...changingValues(record, now),
  ]
}

/** The columns that change in a record's life, in the order of the statement. */
export function changingValues(record: OperationRecord, now: number): SqliteValue[] {
  const { state, attempt, owner, leaseUntil, cause, endedAt, expiresAt, steps, outcome, resolution } = record
  const times = [leaseUntil, cause, endedAt, expiresAt]
  const resolved = [resolution?.actor ?? null, resolution?.reason ?? null]
  return [state, attempt, owner, ...times, steps.length, ...resultValues(outcome), ...resolved, sweepAt(record, now)]
}

/** `holds` has a bit for each cause after which the operation is held. */
function policyValues({ ttlMs, rememberMs, interrupted, attemptsMax }: Policy): SqliteValue[] {
  const { answered, thrown, lapsed } = interrupted
  const holds = (answered === 'hold' ? 1 : 0) + (thrown === 'hold' ? 2 : 0) + (lapsed === 'hold' ? 4 : 0)
  return [ttlMs, rememberMs, holds, attemptsMax]
}

function resultValues(result: Outcome | null): SqliteValue[] {
  return result === null ? [null, null, null] : [Number(result.kept), result.meta, result.body]
}

/** Never later than when the record, or a part of it, expires, whatever becomes of it; null when nothing does. */
function sweepAt(record: OperationRecord, now: number): number | null {
  if (record.state === 'completed') return outcomeUntil(record)
  if (record.state !== 'running') return record.expiresAt
  // It may be completed any time from now on, in a statement that leaves this time alone, or may have lapsed.
  return Math.min(now + record.policy.ttlMs, record.expiresAt ?? Infinity)
}

function recordOf(row: Row, steps: readonly Step[]): OperationRecord {
  const { fingerprint, generation, state, attempt, owner, cause, actor, reason } = row
  return {
    id: hex(row.id),
    scope: text(row.scope),
    name: text(row.name),
    key: text(row.key),
    fingerprint,
    generation,
    policy: policyOf(row),
    state,
    attempt,
    owner,
    leaseUntil: row.lease_until,
    cause,
    createdAt: row.created_at,
    endedAt: row.ended_at,
    expiresAt: row.expires_at,
    outcome: row.kept === null ? null : outcomeOf(row),
    steps,
    resolution: actor === null || reason === null ? null : { actor: text(actor), reason: text(reason) },
  }
}

function policyOf({ ttl_ms: ttlMs, remember_ms: rememberMs, holds, attempts_max: attemptsMax }: Row): Policy {
  const rule = (bit: number): InterruptedPolicy['lapsed'] => ((holds & bit) === 0 ? 'retry' : 'hold')
  return { ttlMs, rememberMs, interrupted: { answered: rule(1), thrown: rule(2), lapsed: rule(4) }, attemptsMax }
}

/** The row of `SELECT_RECORD`, and those of `SELECT_STEPS`. */
export function foundOf(row: unknown, steps: readonly unknown[]): Found {
  const found = row as Row
  return { row: found, record: recordOf(found, (steps as readonly StepRow[]).map(stepOf)) }
}

function stepOf(row: StepRow): Step {
  return { name: text(row.name), result: outcomeOf(row) }
}

function outcomeOf({ kept, meta, body }: ResultRow): Outcome {
  return { kept: kept === 1, meta: meta === null ? '' : text(meta), body: plain(body ?? new Uint8Array(0)) }
}

/** The identity as it is stored. Another text would be cut at its first other character, and two operations share a row. */
export function bytes(id: string): Uint8Array {
  const blob = Buffer.from(id, 'hex')
  if (blob.length !== 32 || id.length !== 64) throw new StoreDataError(`'${id}' is no identity: give 64 hexadecimal digits`)
  return blob
}

function hex(blob: Uint8Array): string {
  return Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength).toString('hex')
}

function text(blob: Uint8Array): string {
  return Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength).toString()
}

/** better-sqlite3 hands out Buffers, whose `slice` and JSON are not those of bytes. */
function plain(blob: Uint8Array): Uint8Array {
  return new Uint8Array(blob.buffer, blob.byteOffset, blob.byteLength)
}
