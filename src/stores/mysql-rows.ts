import { StoreDataError } from '../core/errors.ts'
import type { InterruptedPolicy, InterruptionCause, Policy } from '../core/policy.ts'
import { outcomeUntil, type OperationRecord, type Outcome, type RecordState, type Step } from '../core/record.ts'
import type { RecordFilter } from '../core/store.ts'
import type { Claim, Settlement } from '../core/transitions.ts'
import type { MysqlRow, SimpleValue } from './mysql-connection.ts'

/** A record, where it was read: at which revision, and when by the server's clock. */
export interface Found {
  readonly revision: Uint8Array
  readonly now: number
  readonly record: OperationRecord
}

/** A decision that changes its record. */
export interface Change {
  readonly found: Found
  readonly after: OperationRecord | null
}

/** Bytes of each column of words, as in the schema. */
const bytesMax = { scope: 1020, name: 4096, key: 1020, owner: 255, fingerprint: 255 } as const

const states: readonly RecordState[] = ['running', 'interrupted', 'held', 'completed', 'tombstone']
const causes: readonly InterruptionCause[] = ['answered', 'thrown', 'lapsed', 'uncertain']

/** @throws StoreDataError: nothing of the batch has been sent */
export function checkClaims(claims: readonly Claim[]): void {
  for (const claim of claims) {
    checkId(claim.id)
    for (const word of ['scope', 'name', 'key', 'owner', 'fingerprint'] as const) checkWord(word, claim[word])
  }
}

/** As above; `bytesMax` is what a statement may have at the most. */
export function checkSettlements(settlements: readonly Settlement[], packetBytesMax: number): void {
  for (const settlement of settlements) {
    checkId(settlement.id)
    const result = resultOf(settlement)
    // In hexadecimal every byte is two.
    const bytes = result === null ? 0 : 2 * (Buffer.byteLength(result.meta) + result.body.byteLength) + statementBytes
    if (bytes > packetBytesMax) throw tooLarge(bytes, packetBytesMax)
  }
}

/** The refusal of what no statement can hold. */
export function tooLarge(bytes: number, packetBytesMax: number): StoreDataError {
  return new StoreDataError(
    `a statement of ${bytes} bytes is more than the server's max_allowed_packet of ${packetBytesMax}: raise it, or keep smaller outcomes`,
  )
}

/** Room for what stands around an outcome in a statement. */
export const statementBytes = 16_384

function resultOf(settlement: Settlement): Outcome | null {
  switch (settlement.kind) {
    case 'complete':
    case 'resolve':
      return settlement.outcome
    case 'step':
      return settlement.step.result
    case 'interrupt':
    case 'release':
    case 'renew':
      return null
  }
}

/** Another text would be cut at its first other character, and two operations share a row. */
function checkId(id: string): void {
  if (!/^[0-9a-f]{64}$/.test(id)) throw new StoreDataError(`'${id}' is no identity: give 64 hexadecimal digits`)
}

function checkWord(word: keyof typeof bytesMax, value: string): void {
  const bytes = Buffer.byteLength(value)
  if (bytes > bytesMax[word]) throw new StoreDataError(`${word} has ${bytes} bytes, at most ${bytesMax[word]} are kept`)
}

/** An identity's bytes. */
export function idBytes(id: string): Uint8Array {
  return Buffer.from(id, 'hex')
}

/** The columns of a first attempt, with its times counted from the moment at which the server writes it. */
export function firstValues(record: OperationRecord, revision: Uint8Array): readonly SimpleValue[] {
  const { id, scope, name, key, fingerprint, generation, policy, state, owner, leaseUntil, expiresAt } = record
  const words = [idBytes(id), revision, scope, name, key, fingerprint, generation, ...policyValues(policy)]
  return [...words, state, owner, leaseUntil, expiresAt, sweepAt(record, 0)]
}

/** The columns that a decision changes, in the order of the statement; times are those of the record. */
export function changedValues({ record: before, revision, now }: Found, after: OperationRecord): readonly SimpleValue[] {
  const { state, attempt, owner, leaseUntil, cause, endedAt, expiresAt, steps, outcome, resolution } = after
  const head = [idBytes(after.id), revision, after.fingerprint, after.generation, ...policyValues(after.policy), after.createdAt]
  const life = [state, attempt, owner, leaseUntil, cause, endedAt, expiresAt]
  const isBegun = steps.length < before.steps.length
  const added = isBegun ? steps : steps.slice(before.steps.length)
  const kept = [steps.length, Number(isBegun), encodedSteps(added)]
  const resolved = [resolution?.actor ?? null, resolution?.reason ?? null]
  return [...head, ...life, ...kept, ...resultValues(outcome), ...resolved, sweepAt(after, now)]
}

/** `holds` has a bit for each cause after which the operation is held. */
function policyValues({ ttlMs, rememberMs, interrupted, attemptsMax }: Policy): readonly SimpleValue[] {
  const { answered, thrown, lapsed } = interrupted
  const holds = (answered === 'hold' ? 1 : 0) + (thrown === 'hold' ? 2 : 0) + (lapsed === 'hold' ? 4 : 0)
  return [ttlMs, rememberMs, holds, attemptsMax]
}

/** The three columns of an outcome. */
export function resultValues(result: Outcome | null): readonly [SimpleValue, SimpleValue, SimpleValue] {
  return result === null ? [null, null, null] : [Number(result.kept), result.meta, result.body]
}

/** Never later than when the record, or a part of it, expires, whatever becomes of it; null when nothing does. */
export function sweepAt(record: OperationRecord, now: number): number | null {
  if (record.state === 'completed') return outcomeUntil(record)
  if (record.state !== 'running') return record.expiresAt
  // It may be completed any time from now on, in a statement that leaves this time alone, or may have lapsed.
  return Math.min(now + record.policy.ttlMs, record.expiresAt ?? Infinity)
}

/** A row of every column. */
export function foundOf(row: MysqlRow): Found {
  const steps = numberOf(row, 'steps')
  const record: OperationRecord = {
    id: idOf(row),
    scope: textOf(row, 'scope'),
    name: textOf(row, 'name'),
    key: textOf(row, 'key'),
    fingerprint: textOf(row, 'fingerprint'),
    generation: textOf(row, 'generation'),
    policy: policyOf(row),
    state: wordOf(row, 'state', states),
    attempt: numberOf(row, 'attempt'),
    owner: textOf(row, 'owner'),
    leaseUntil: numberOf(row, 'lease_until'),
    cause: row['cause'] === null ? null : wordOf(row, 'cause', causes),
    createdAt: numberOf(row, 'created_at'),
    endedAt: nullableOf(row, 'ended_at'),
    expiresAt: nullableOf(row, 'expires_at'),
    outcome: row['kept'] === null ? null : outcomeOf(row),
    steps: steps === 0 ? noSteps : decodedSteps(bytesOf(row, 'step_results'), steps),
    resolution: row['actor'] === null ? null : { actor: textOf(row, 'actor'), reason: textOf(row, 'reason') },
  }
  return { revision: bytesOf(row, 'revision'), now: numberOf(row, 'now'), record }
}

const noSteps: readonly Step[] = []

/** The identity of a row. */
export function idOf(row: MysqlRow): string {
  return Buffer.from(bytesOf(row, 'id')).toString('hex')
}

function policyOf(row: MysqlRow): Policy {
  const holds = numberOf(row, 'holds')
  const rule = (bit: number): InterruptedPolicy['lapsed'] => ((holds & bit) === 0 ? 'retry' : 'hold')
  return {
    ttlMs: numberOf(row, 'ttl_ms'),
    rememberMs: numberOf(row, 'remember_ms'),
    interrupted: { answered: rule(1), thrown: rule(2), lapsed: rule(4) },
    attemptsMax: numberOf(row, 'attempts_max'),
  }
}

function outcomeOf(row: MysqlRow): Outcome {
  return { kept: numberOf(row, 'kept') === 1, meta: textOf(row, 'meta'), body: bytesOf(row, 'body') }
}

/** A number, which the pool may be set to hand out as text. */
function numberOf(row: MysqlRow, column: string): number {
  const value = Number(row[column] ?? Number.NaN)
  if (!Number.isSafeInteger(value)) throw damaged(column)
  return value
}

function nullableOf(row: MysqlRow, column: string): number | null {
  return row[column] === null ? null : numberOf(row, column)
}

/** mysql2 hands out Buffers, whose `slice` and JSON are not those of bytes. */
function bytesOf(row: MysqlRow, column: string): Uint8Array {
  const value = row[column]
  if (!(value instanceof Uint8Array)) throw damaged(column)
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
}

function textOf(row: MysqlRow, column: string): string {
  const { buffer, byteOffset, byteLength } = bytesOf(row, column)
  return Buffer.from(buffer, byteOffset, byteLength).toString()
}

function wordOf<Word extends string>(row: MysqlRow, column: string, words: readonly Word[]): Word {
  const found = textOf(row, column)
  const word = words.find((each) => each === found)
  if (word === undefined) throw damaged(column)
  return word
}

function damaged(column: string): Error {
  return new Error(`a row's ${column} is not what Onceward stored there: the store is damaged, or of a newer version`)
}

/** Steps one behind the other: each its name, whether it is kept, its meta and its body, each of these behind its length. */
function encodedSteps(steps: readonly Step[]): Uint8Array {
  return Buffer.concat(
    steps.flatMap(({ name, result }) => [
      ...[Buffer.from(name), Buffer.of(Number(result.kept)), Buffer.from(result.meta), result.body].flatMap(lengthAndBytes),
    ]),
  )
}

function lengthAndBytes(bytes: Uint8Array): readonly Uint8Array[] {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.byteLength)
  return [length, bytes]
}

function decodedSteps(bytes: Uint8Array, count: number): readonly Step[] {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let offset = 0
  const next = (): Buffer => {
    if (offset + 4 > data.length) throw damaged('step_results')
    const start = offset + 4
    offset = start + data.readUInt32BE(offset)
    if (offset > data.length) throw damaged('step_results')
    return data.subarray(start, offset)
  }
  return Array.from({ length: count }, () => {
    const [name, kept, meta, body] = [next().toString(), next()[0] === 1, next().toString(), next()]
    return { name, result: { kept, meta, body: new Uint8Array(body.buffer, body.byteOffset, body.byteLength) } }
  })
}

/** What a listing's statement compares; the state is found out here. A prefix that ends within a character is no whole bytes. */
export function filterValues(filter: RecordFilter): readonly SimpleValue[] {
  const { scope, name, keyPrefix, olderThanMs } = filter
  const prefix = keyPrefix?.isWellFormed() === true ? Buffer.from(keyPrefix) : null
  const words = [scope, scope, name, name, prefix, prefix?.byteLength ?? 0, prefix, olderThanMs, olderThanMs]
  return words.map((value) => value ?? null)
}

/** Bytes of a completion's part of a statement. */
export function completionBytes({ outcome }: { readonly outcome: Outcome }): number {
  return 2 * (Buffer.byteLength(outcome.meta) + outcome.body.byteLength) + statementBytes
}

/** Of the statement, and of the steps that the server puts together, which may not be longer either. */
export function changeBytes({ found, after }: Change): number {
  if (after === null) return statementBytes
  const { outcome, steps, resolution } = after
  const words = Buffer.byteLength((resolution?.actor ?? '') + (resolution?.reason ?? '') + (outcome?.meta ?? ''))
  const added = encodedSteps(steps.slice(found.record.steps.length)).byteLength
  const sent = 2 * (words + (outcome?.body.byteLength ?? 0) + added) + statementBytes
  return Math.max(sent, encodedSteps(steps).byteLength + statementBytes)
}
