import { StoreDataError } from '../core/errors.ts'
import type { InterruptedPolicy, InterruptionCause, Policy } from '../core/policy.ts'
import { outcomeUntil, type OperationRecord, type Outcome, type RecordState, type Step } from '../core/record.ts'
import { decideClaim, type Claim, type Settlement } from '../core/transitions.ts'
import type { PostgresRow, PostgresValue } from './postgres-clients.ts'

/** A record as it was read. */
export interface Read {
  readonly record: OperationRecord
  /** Who wrote it: another after every change. */
  readonly revision: string
  /** Somebody waits for it. */
  readonly watched: boolean
}

/** What one look found of one operation. */
export interface Look {
  /** The server's time. Milliseconds since 1970. */
  readonly now: number
  /** Its position among those asked for, from 0. */
  readonly index: number
  /** The look itself began its first attempt. */
  readonly added: boolean
  readonly read: Read | null
}

/** What is to become of a record; null: removed. */
export interface Change {
  readonly before: Read
  readonly after: OperationRecord | null
  readonly flags: boolean
  /** The time of the decision. Milliseconds since 1970. */
  readonly now: number
}

/** A settlement that `SETTLE` can do. */
export type Common = Extract<Settlement, { readonly kind: 'complete' | 'renew' }>

/** The row of `CLAIM`, `CLAIM_ONE`, `READ` and `READ_SLICE`, by position. */
type RecordColumns = readonly [
  now: number,
  place: number,
  added: boolean,
  revision: string | null,
  watched: boolean,
  id: Uint8Array,
  scope: Uint8Array,
  name: Uint8Array,
  key: Uint8Array,
  fingerprint: Uint8Array,
  ttlMs: number,
  rememberMs: number,
  holds: number,
  attemptsMax: number,
  createdAt: number,
  state: RecordState,
  attempt: number,
  owner: Uint8Array,
  leaseUntil: number,
  cause: InterruptionCause | null,
  endedAt: number | null,
  expiresAt: number | null,
  kept: boolean | null,
  meta: Uint8Array | null,
  body: Uint8Array | null,
  actor: Uint8Array | null,
  reason: Uint8Array | null,
  steps: string | null,
  generation: Uint8Array | null,
]

/** What a row says. */
export function lookOf(row: PostgresRow): Look {
  const columns = row as RecordColumns
  const [now, place, added, revision, watched] = columns
  const read = revision === null ? null : { record: recordOf(columns), revision, watched }
  return { now, index: place - 1, added, read }
}

function recordOf(columns: RecordColumns): OperationRecord {
  const [, , , , , id, scope, name, key, fingerprint, ttlMs, rememberMs, holds, attemptsMax, createdAt, state, ...rest] = columns
  const [attempt, owner, leaseUntil, cause, endedAt, expiresAt, kept, meta, body, actor, reason, steps, generation] = rest
  return {
    id: hex(id),
    scope: text(scope),
    name: text(name),
    key: text(key),
    fingerprint: text(fingerprint),
    generation: text(generation ?? owner),
    policy: { ttlMs, rememberMs, interrupted: interruptedOf(holds), attemptsMax },
    state,
    attempt,
    owner: text(owner),
    leaseUntil,
    cause,
    createdAt,
    endedAt,
    expiresAt,
    outcome: kept === null ? null : { kept, meta: text(meta ?? nothing), body: plain(body ?? nothing) },
    steps: steps === null ? [] : stepsOf(steps),
    resolution: actor === null || reason === null ? null : { actor: text(actor), reason: text(reason) },
  }
}

/** Steps come as JSON of hexadecimal digits, which every client reads alike. */
function stepsOf(json: string): Step[] {
  const steps = JSON.parse(json) as [name: string, kept: boolean, meta: string, body: string][]
  const bytes = (digits: string): Uint8Array => Buffer.from(digits, 'hex')
  return steps.map(([name, kept, meta, body]) => ({
    name: text(bytes(name)),
    result: { kept, meta: text(bytes(meta)), body: plain(bytes(body)) },
  }))
}

/** The parameters of `CLAIM` after the offset. */
export function claimValues(claims: readonly Claim[], salt: bigint): PostgresValue[] {
  const rows = claims.map((claim) => claimRow(claim, salt))
  return Array.from({ length: claimColumns }, (_, column) => list(rows, (row) => row[column] ?? null))
}

/** Columns of a claim's row. */
const claimColumns = 13

/**
 * One claim's, as they also stand in `CLAIM_ONE`. The record is the transition table's own, at time zero: the server adds its time.
 * The advisory lock's number is the identity's first eight bytes, salted by the table's name.
 */
export function claimRow(claim: Claim, salt: bigint): (string | null)[] {
  const id = identity(claim.id)
  const { record } = decideClaim(null, claim, 0)
  if (record === null) throw new Error('a first claim leaves a record')
  const { scope, name, key, fingerprint, policy, owner, leaseUntil, expiresAt } = record
  const latch = String(BigInt.asIntN(64, id.readBigInt64BE(0) ^ salt))
  const words = [scope, name, key, fingerprint].map(word)
  return [bytea(id), latch, ...words, ...policyRow(policy), word(owner), String(leaseUntil), number(expiresAt)]
}

/** The parameters of `INSERT_COMPLETED` after the offset, in which the times count from `now`, that of the claim. */
export function insertValues(record: OperationRecord, now: number): PostgresValue[] {
  const { id, scope, name, key, fingerprint, policy, createdAt } = record
  const words = [scope, name, key, fingerprint].map(word)
  return [bytea(identity(id)), ...words, ...policyRow(policy), String(createdAt), ...completedRow(record, now)]
}

/** The parameters of `UPDATE_COMPLETED` between the offset and the channel; likewise. */
export function updateValues({ record: before, revision, watched }: Read, record: OperationRecord, now: number): PostgresValue[] {
  const { id, fingerprint, generation, policy, createdAt } = record
  const own = [word(fingerprint), word(generation), ...policyRow(policy), String(createdAt)]
  const row = [bytea(identity(id)), revision, String(watched), String(before.steps.length > 0)]
  return [...row, ...own, ...completedRow(record, now)]
}

function completedRow({ attempt, owner, expiresAt, policy, outcome }: OperationRecord, now: number): PostgresValue[] {
  if (outcome === null || expiresAt === null) throw new Error('what is completed has an outcome, and expires')
  const { kept, meta, body } = outcome
  return [String(attempt), word(owner), String(expiresAt - now), String(policy.ttlMs), String(kept), word(meta), body]
}

/** The parameter of `READ` after the offset. */
export function idValues(ids: readonly string[]): PostgresValue {
  return list(ids, (id) => bytea(identity(id)))
}

/** The parameters of `SETTLE` between the offset and the channel. */
export function settleValues(settlements: readonly Common[]): PostgresValue[] {
  const outcomes = settlements.map((each) => (each.kind === 'complete' ? each.outcome : null))
  return [
    idValues(settlements.map(({ id }) => id)),
    list(settlements, ({ attempt }) => String(attempt)),
    list(settlements, ({ owner }) => word(owner)),
    list(settlements, (each) => (each.kind === 'renew' ? String(each.leaseMs) : null)),
    ...outcomeValues(outcomes),
  ]
}

/** The parameters of `COMPLETE_ONE` between the offset and the channel. */
export function completeValues({ id, attempt, owner, outcome }: Extract<Common, { kind: 'complete' }>): PostgresValue[] {
  const { kept, meta, body } = outcome
  return [bytea(identity(id)), String(attempt), word(owner), String(kept), word(meta), body]
}

/** The parameters of `WRITE` before the channel. */
export function writeValues(changes: readonly Change[]): PostgresValue[] {
  // What is removed needs no values of its own.
  const afters = changes.map(({ before, after }) => after ?? before.record)
  const each = (value: (record: OperationRecord) => string | null): string => list(afters, value)
  const policies = afters.map(({ policy }) => policyRow(policy))
  return [
    idValues(afters.map(({ id }) => id)),
    list(changes, ({ before }) => before.revision),
    list(changes, ({ after }) => String(after === null)),
    list(changes, (change) => String(dropsSteps(change))),
    list(changes, ({ flags }) => String(flags)),
    each(({ fingerprint }) => word(fingerprint)),
    each(({ generation }) => word(generation)),
    ...[0, 1, 2, 3].map((column) => list(policies, (policy) => policy[column] ?? null)),
    each(({ createdAt }) => String(createdAt)),
    each(({ state }) => state),
    each(({ attempt }) => String(attempt)),
    each(({ owner }) => word(owner)),
    each(({ leaseUntil }) => String(leaseUntil)),
    each(({ cause }) => cause),
    each(({ endedAt }) => number(endedAt)),
    each(({ expiresAt }) => number(expiresAt)),
    each(({ steps }) => String(steps.length)),
    ...outcomeValues(afters.map(({ outcome }) => outcome)),
    each(({ resolution }) => resolution && word(resolution.actor)),
    each(({ resolution }) => resolution && word(resolution.reason)),
    list(changes, ({ before, after, now }) => number(sweepAt(after ?? before.record, now))),
    ...stepValues(changes),
  ]
}

/** The steps that come to those there are. */
function stepValues(changes: readonly Change[]): PostgresValue[] {
  const added = changes.flatMap(({ before, after }) =>
    (after?.steps ?? []).flatMap((step, position) =>
      position < before.record.steps.length ? [] : [{ id: before.record.id, position, step }],
    ),
  )
  return [
    idValues(added.map(({ id }) => id)),
    list(added, ({ position }) => String(position)),
    list(added, ({ step }) => word(step.name)),
    ...outcomeValues(added.map(({ step }) => step.result)),
  ]
}

/** Steps are added behind those there are, or all removed. */
function dropsSteps({ before, after }: Change): boolean {
  return before.record.steps.length > (after?.steps.length ?? 0)
}

function outcomeValues(outcomes: readonly (Outcome | null)[]): PostgresValue[] {
  return [
    list(outcomes, (outcome) => outcome && String(outcome.kept)),
    list(outcomes, (outcome) => outcome && word(outcome.meta)),
    list(outcomes, (outcome) => outcome && bytea(outcome.body)),
  ]
}

/** `holds` has a bit for each cause after which the operation is held. */
function policyRow({ ttlMs, rememberMs, interrupted, attemptsMax }: Policy): string[] {
  const { answered, thrown, lapsed } = interrupted
  const holds = (answered === 'hold' ? 1 : 0) + (thrown === 'hold' ? 2 : 0) + (lapsed === 'hold' ? 4 : 0)
  return [ttlMs, rememberMs, holds, attemptsMax].map(String)
}

function interruptedOf(holds: number): InterruptedPolicy {
  const rule = (bit: number): InterruptedPolicy['lapsed'] => ((holds & bit) === 0 ? 'retry' : 'hold')
  return { answered: rule(1), thrown: rule(2), lapsed: rule(4) }
}

/** Never later than when the record, or a part of it, expires, whatever becomes of it; null when nothing does. */
function sweepAt(record: OperationRecord, now: number): number | null {
  if (record.state === 'completed') return outcomeUntil(record)
  if (record.state !== 'running') return record.expiresAt
  // It may be completed any time from now on, in a statement that leaves this time alone, or may have lapsed.
  return Math.min(now + record.policy.ttlMs, record.expiresAt ?? Infinity)
}

/**
 * An array as text. Its elements are numbers, the words of this library, and bytes as `\x` with hexadecimal digits, whose backslash is
 * doubled inside quotes: nothing of a caller's is left in it that could end one.
 */
function list<Value>(values: readonly Value[], element: (value: Value) => string | null): string {
  const elements = values.map((value) => {
    const each = element(value)
    return each === null ? 'NULL' : each.startsWith('\\') ? `"\\${each}"` : each
  })
  return `{${elements.join(',')}}`
}

/** The identity's bytes. Another text would be cut at its first other character, and two operations share a row. */
function identity(id: string): Buffer {
  const blob = Buffer.from(id, 'hex')
  if (blob.length !== 32 || id.length !== 64) throw new StoreDataError(`'${id}' is no identity: give 64 hexadecimal digits`)
  return blob
}

/** The identity behind which a listing goes on; nothing for its beginning. */
export function afterValue(after: string): string {
  return bytea(Buffer.from(after, 'hex'))
}

function word(value: string): string {
  return bytea(Buffer.from(value))
}

function bytea(blob: Uint8Array): string {
  return `\\x${hex(blob)}`
}

function number(value: number | null): string | null {
  return value === null ? null : String(value)
}

const nothing = new Uint8Array(0)

function hex(blob: Uint8Array): string {
  return Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength).toString('hex')
}

function text(blob: Uint8Array): string {
  return Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength).toString()
}

/** Some clients hand out Buffers, whose `slice` and JSON are not those of bytes. */
function plain(blob: Uint8Array): Uint8Array {
  return new Uint8Array(blob.buffer, blob.byteOffset, blob.byteLength)
}
