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

/** A first attempt. Does nothing where there is a row, were it an expired one. */
const INSERT_RECORD = `
INSERT INTO "onceward" (id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at,
  state, attempt, owner, lease_until, expires_at, steps, sweep_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', 1, ?, ?, ?, 0, ?) ON CONFLICT (id) DO NOTHING`

/**
 * The line of the transition table that answers most repeats: completed, and the outcome has not outlived its ttl (so neither has
 * the record, whose expiry is `remember_ms` later). There the fingerprint alone tells a replay from a mismatch.
 */
const SELECT_OUTCOME = `
SELECT fingerprint, kept, CAST(meta AS BLOB) AS meta, body FROM "onceward" WHERE id = ? AND state = 'completed' AND ended_at + ttl_ms > ?`

const UPDATE_RECORD = `
UPDATE "onceward" SET state = ?, attempt = ?, owner = ?, lease_until = ?, cause = ?, ended_at = ?, expires_at = ?, steps = ?,
  kept = ?, meta = ?, body = ?, actor = ?, reason = ?, sweep_at = ?
WHERE id = ?`

/**
 * The commonest line of the settlement table in one statement: running, not expired, under this very fence, and without steps that
 * would have to go. There the table says completed, with these times. Where the condition fails nothing changes, and the table
 * itself decides. `sweep_at` was set by a claim or renewal, no later than this, and so is early enough.
 */
const COMPLETE_RECORD = `
UPDATE "onceward" SET state = 'completed', lease_until = ?, ended_at = ?, expires_at = ? + ttl_ms + remember_ms,
  kept = ?, meta = ?, body = ?
WHERE id = ? AND state = 'running' AND attempt = ? AND owner = ? AND steps = 0 AND (expires_at IS NULL OR expires_at > ?)`

/** Words are read as bytes: Node 22 cuts a text at its first NUL. */
const SELECT_RECORD = `
SELECT id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint,
  ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps,
  kept, CAST(meta AS BLOB) AS meta, body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE id = ?`

/** As above without the bodies, which may be large and of which most are not meant. */
const SELECT_SLICE = `
SELECT id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint,
  ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps,
  kept, CAST(meta AS BLOB) AS meta, NULL AS body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE id > ? ORDER BY id LIMIT ?`

/** As above, of records that may have expired; their own times tell. */
const SELECT_DUE = `
SELECT id, CAST(scope AS BLOB) AS scope, CAST(name AS BLOB) AS name, CAST(key AS BLOB) AS key, fingerprint,
  ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner, lease_until, cause, ended_at, expires_at, steps,
  kept, CAST(meta AS BLOB) AS meta, NULL AS body, CAST(actor AS BLOB) AS actor, CAST(reason AS BLOB) AS reason
FROM "onceward" WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ?`

const MAKE_TOMBSTONE = `
UPDATE "onceward" SET state = 'tombstone', kept = NULL, meta = NULL, body = NULL, sweep_at = expires_at WHERE id = ?`

const SWEEP_LATER = `UPDATE "onceward" SET sweep_at = ? WHERE id = ?`

const DELETE_RECORD = `DELETE FROM "onceward" WHERE id = ?`

const SELECT_STEPS = `
SELECT CAST(name AS BLOB) AS name, kept, CAST(meta AS BLOB) AS meta, body FROM "onceward_steps" WHERE id = ? ORDER BY position`

const INSERT_STEP = `INSERT INTO "onceward_steps" (id, position, name, kept, meta, body) VALUES (?, ?, ?, ?, ?, ?)`

const DELETE_STEPS = `DELETE FROM "onceward_steps" WHERE id = ?`

interface BodyRow {
  readonly kept: number | null
  readonly meta: Uint8Array | null
  readonly body: Uint8Array | null
}

interface OutcomeRow extends BodyRow {
  readonly fingerprint: string
}

interface StepRow extends BodyRow {
  readonly name: Uint8Array
}

interface Row extends OutcomeRow {
  readonly id: Uint8Array
  readonly scope: Uint8Array
  readonly name: Uint8Array
  readonly key: Uint8Array
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

/** A part of a listing. */
export interface Slice {
  readonly meant: readonly RecordView[]
  /** The identity after which it goes on; null at the end. */
  readonly next: string | null
}

/**
 * The records of one file. Every method is to be called inside a transaction, and one that changes something inside one that holds
 * the write lock: between its reading and its writing nobody else decides.
 */
export class SqliteRecords {
  readonly #insert: SqliteStatement
  readonly #selectOutcome: SqliteStatement
  readonly #update: SqliteStatement
  readonly #complete: SqliteStatement
  readonly #select: SqliteStatement
  readonly #selectSlice: SqliteStatement
  readonly #selectDue: SqliteStatement
  readonly #makeTombstone: SqliteStatement
  readonly #sweepLater: SqliteStatement
  readonly #delete: SqliteStatement
  readonly #selectSteps: SqliteStatement
  readonly #insertStep: SqliteStatement
  readonly #deleteSteps: SqliteStatement
  /** Whether the claim before found an outcome: then the next is likely to, and is looked up first. Either order is right. */
  #repeats = false

  constructor(database: SqliteDatabase, table: string) {
    const prepare = (sql: string): SqliteStatement => database.prepare(named(sql, table))
    this.#insert = prepare(INSERT_RECORD)
    this.#selectOutcome = prepare(SELECT_OUTCOME)
    this.#update = prepare(UPDATE_RECORD)
    this.#complete = prepare(COMPLETE_RECORD)
    this.#select = prepare(SELECT_RECORD)
    this.#selectSlice = prepare(SELECT_SLICE)
    this.#selectDue = prepare(SELECT_DUE)
    this.#makeTombstone = prepare(MAKE_TOMBSTONE)
    this.#sweepLater = prepare(SWEEP_LATER)
    this.#delete = prepare(DELETE_RECORD)
    this.#selectSteps = prepare(SELECT_STEPS)
    this.#insertStep = prepare(INSERT_STEP)
    this.#deleteSteps = prepare(DELETE_STEPS)
  }

  claim(claim: Claim, now: number): ClaimResult {
    const id = bytes(claim.id)
    const likely = this.#repeats
      ? (this.#repeated(id, claim, now) ?? this.#begun(id, claim, now))
      : (this.#begun(id, claim, now) ?? this.#repeated(id, claim, now))
    const result = likely ?? this.#decided(id, claim, now)
    this.#repeats = result.state === 'completed'
    return result
  }

  settle(settlement: Settlement, now: number): SettleResult {
    const id = bytes(settlement.id)
    if (settlement.kind === 'complete' && this.#completed(id, settlement, now)) return 'ok'
    const record = this.#read(id)
    const { result, record: after } = decideSettlement(record, settlement, now)
    this.#write(id, record, after, now)
    return result
  }

  view(id: string, now: number): RecordView | null {
    return viewAt(this.#read(bytes(id)), now)
  }

  /** Of the next `rows` rows in the order of the identities those that are meant, their outcomes without bodies. */
  slice(filter: RecordFilter, after: string, rows: number, now: number): Slice {
    const read = this.#selectSlice.all(Buffer.from(after, 'hex'), rows) as Row[]
    const views = read.map((row) => viewAt(recordOf(row, []), now)).filter((view) => view !== null)
    const last = read.length < rows ? undefined : read.at(-1)
    return { meant: views.filter((view) => isMeant(view, filter, now)), next: last === undefined ? null : hex(last.id) }
  }

  remove(id: string): void {
    this.#remove(bytes(id))
  }

  /** Looks at the `rows` records that are due first: how many there were, and of how many something was removed. */
  sweep(rows: number, now: number): { readonly due: number; readonly touched: number } {
    const due = this.#selectDue.all(now, rows) as Row[]
    const touched = due.filter((row) => this.#swept(row, now))
    return { due: due.length, touched: touched.length }
  }

  #swept(row: Row, now: number): boolean {
    const record = recordOf(row, [])
    const state = stateAt(record, now)
    if (state === 'absent') this.#remove(row.id)
    else if (state === 'expired' && record.state === 'completed') this.#makeTombstone.run(row.id)
    else {
      this.#sweepLater.run(sweepAt(record, now), row.id)
      return false
    }
    return true
  }

  /** The claim of an operation without a row: the insertion is the decision. */
  #begun(id: Uint8Array, claim: Claim, now: number): ClaimResult | undefined {
    const { result, record } = decideClaim(null, claim, now)
    return record !== null && this.#inserted(id, record, now) ? result : undefined
  }

  #inserted(id: Uint8Array, record: OperationRecord, now: number): boolean {
    const { scope, name, key, fingerprint, policy, createdAt, owner, leaseUntil, expiresAt } = record
    const words = [id, scope, name, key, fingerprint, ...policyValues(policy)]
    return this.#insert.run(...words, createdAt, owner, leaseUntil, expiresAt, sweepAt(record, now)).changes === 1
  }

  /** The claim of an operation whose outcome is there. */
  #repeated(id: Uint8Array, { fingerprint }: Claim, now: number): ClaimResult | undefined {
    const row = this.#selectOutcome.get(id, now) as OutcomeRow | undefined
    if (row === undefined) return undefined
    return row.fingerprint === fingerprint ? { state: 'completed', outcome: outcomeOf(row) } : { state: 'mismatch' }
  }

  #decided(id: Uint8Array, claim: Claim, now: number): ClaimResult {
    const record = this.#read(id)
    if (viewAt(record, now) === null) {
      this.#remove(id)
      return this.#begun(id, claim, now) ?? this.#decided(id, claim, now)
    }
    const { result, record: after } = decideClaim(record, claim, now)
    this.#write(id, record, after, now)
    return result
  }

  #completed(id: Uint8Array, { outcome, attempt, owner }: Extract<Settlement, { kind: 'complete' }>, now: number): boolean {
    const { changes } = this.#complete.run(now, now, now, ...outcomeValues(outcome), id, attempt, owner, now)
    return changes === 1
  }

  /** What a decision changed: nothing when it gave back the record that it was given. */
  #write(id: Uint8Array, before: OperationRecord | null, after: OperationRecord | null, now: number): void {
    if (after === before) return
    if (after === null) return this.#remove(id)
    this.#update.run(...changingValues(after, now), id)
    this.#writeSteps(id, before?.steps ?? [], after.steps)
  }

  /** A decision adds steps behind those there are, or removes all. */
  #writeSteps(id: Uint8Array, before: readonly Step[], after: readonly Step[]): void {
    if (after.length < before.length) this.#deleteSteps.run(id)
    for (const [index, { name, result }] of after.slice(before.length).entries())
      this.#insertStep.run(id, before.length + index, name, ...outcomeValues(result))
  }

  #remove(id: Uint8Array): void {
    this.#delete.run(id)
    this.#deleteSteps.run(id)
  }

  #read(id: Uint8Array): OperationRecord | null {
    const row = this.#select.get(id) as Row | undefined
    if (row === undefined) return null
    const steps = row.steps === 0 ? [] : (this.#selectSteps.all(id) as StepRow[])
    return recordOf(row, steps.map(stepOf))
  }
}

/** The columns that change in a record's life, in the order of the statements. */
function changingValues(record: OperationRecord, now: number): SqliteValue[] {
  const { state, attempt, owner, leaseUntil, cause, endedAt, expiresAt, steps, outcome, resolution } = record
  const times = [leaseUntil, cause, endedAt, expiresAt]
  const resolved = [resolution?.actor ?? null, resolution?.reason ?? null]
  return [state, attempt, owner, ...times, steps.length, ...outcomeValues(outcome), ...resolved, sweepAt(record, now)]
}

/** A bit for each cause after which the operation is held. */
function policyValues({ ttlMs, rememberMs, interrupted, attemptsMax }: Policy): SqliteValue[] {
  const { answered, thrown, lapsed } = interrupted
  const holds = (answered === 'hold' ? 1 : 0) + (thrown === 'hold' ? 2 : 0) + (lapsed === 'hold' ? 4 : 0)
  return [ttlMs, rememberMs, holds, attemptsMax]
}

function outcomeValues(outcome: Outcome | null): SqliteValue[] {
  return outcome === null ? [null, null, null] : [Number(outcome.kept), outcome.meta, outcome.body]
}

/** Never later than when the record, or a part of it, expires, whatever becomes of it; null when nothing does. */
function sweepAt(record: OperationRecord, now: number): number | null {
  if (record.state === 'completed') return outcomeUntil(record)
  if (record.state !== 'running') return record.expiresAt
  // It may be completed any time from now on, in a statement that leaves this time alone, or may have lapsed.
  return Math.min(now + record.policy.ttlMs, record.expiresAt ?? Infinity)
}

function recordOf(row: Row, steps: readonly Step[]): OperationRecord {
  const { fingerprint, state, attempt, owner, cause, actor, reason } = row
  return {
    id: hex(row.id),
    scope: text(row.scope),
    name: text(row.name),
    key: text(row.key),
    fingerprint,
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

function stepOf(row: StepRow): Step {
  return { name: text(row.name), result: outcomeOf(row) }
}

function outcomeOf({ kept, meta, body }: BodyRow): Outcome {
  return { kept: kept === 1, meta: meta === null ? '' : text(meta), body: plain(body ?? new Uint8Array(0)) }
}

/** The identity as it is stored. Another text would be cut at its first other character, and two operations share a row. */
function bytes(id: string): Uint8Array {
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
