import { randomBytes } from 'node:crypto'
import type { Bridge } from '../core/bridge.ts'
import { OptionsError } from '../core/errors.ts'
import { notKept } from '../core/outcome.ts'
import type { OperationRecord, Outcome } from '../core/record.ts'
import type { TransactionEnding, TransactionRequest, TransactionResult } from '../core/store.ts'
import { decideClaim, decideSettlement, type Claim, type ClaimResult } from '../core/transitions.ts'
import { errorNumber, errorNumbers, repeated, type MysqlRow, type MysqlValue, type SqlTexts } from './mysql-connection.ts'
import {
  changedValues,
  checkClaims,
  completionBytes,
  firstValues,
  foundOf,
  idBytes,
  resultValues,
  type Found,
} from './mysql-rows.ts'
import { INSERT_RECORD, UPDATE_RECORDS, UPDATED_ROW } from './mysql-statements.ts'

/**
 * Keeps everybody else out, and looks, in one statement: the first of the transaction, and a locking one, so that no snapshot makes it
 * stale. Where the row was there already it is handed out as it is, locked. Whoever has it locked is not waited for.
 */
const INSERT_OR_LOCK = `
SET STATEMENT innodb_lock_wait_timeout = 0 FOR ${INSERT_RECORD}
ON DUPLICATE KEY UPDATE id = id
RETURNING id, revision, scope, name, \`key\`, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner,
  lease_until, cause, ended_at, expires_at, steps, step_results, kept, meta, \`body\`, actor, reason, NOW_MS AS now`

/** MySQL needs four statements for that, and waits a second. */
const WAIT_LESS = `SET @onceward_wait = @@SESSION.innodb_lock_wait_timeout, SESSION innodb_lock_wait_timeout = 1`
const INSERT_IF_ABSENT = `${INSERT_RECORD} ON DUPLICATE KEY UPDATE id = id`
const SELECT_LOCKED = `
SELECT id, revision, scope, name, \`key\`, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner,
  lease_until, cause, ended_at, expires_at, steps, step_results, kept, meta, \`body\`, actor, reason, NOW_MS AS now
FROM \`onceward\` WHERE id = ? LIMIT 1 FOR UPDATE`
const WAIT_AS_BEFORE = `SET SESSION innodb_lock_wait_timeout = @onceward_wait`

/** The outcome of a first attempt, onto the row that this very transaction has inserted. */
const COMPLETE_INSERTED = `
UPDATE \`onceward\`
SET state = ?, lease_until = NOW_MS, ended_at = NOW_MS, expires_at = NOW_MS + ttl_ms + remember_ms, revision = ?,
  kept = ?, meta = ?, \`body\` = ?
WHERE id = ? AND revision = ?`
/** Only within the transaction: one that its own work has ended, by a statement that commits, must not seem to be committed now. */
const STILL_INSIDE = ` AND @@in_transaction = 1`

const IDENTITY = `SELECT identity FROM \`onceward_schema\` WHERE one = 1 LIMIT 1`

/** What transactions need to know of the store that they join. */
export interface Joined {
  readonly texts: SqlTexts
  readonly isMariadb: boolean
  readonly packetBytesMax: number
  /** What is committed of an operation, by a connection of the store's own. */
  readonly look: (id: string) => Promise<Found | null>
}

type Left =
  | Exclude<TransactionResult, { state: 'committed' | 'conflict' }>
  | Extract<TransactionEnding, { state: 'refuse' }>
  | { readonly state: 'locked' }

/**
 * Runs work in a transaction of the bridge's, and commits its outcome with its effects: two statements more than it would take alone. The
 * lock on the operation's own row keeps everybody else out.
 */
export async function transact<Tx>(request: TransactionRequest<Tx>, joined: Joined): Promise<TransactionResult> {
  const { claim, bridge, work, transactionMs } = request
  checkClaims([claim])
  let left: Left | undefined
  const leave = (as: Left): never => {
    left = as
    throw new Error('the transaction is rolled back')
  }
  const inside = async (tx: Tx): Promise<void> => {
    const record = new JoinedRecord(bridge, tx, joined)
    const found = await record.claim(claim)
    if (found.state !== 'claimed') return leave(found)
    const ending = await work(tx, found.attempt)
    if (ending.state === 'forget') return leave({ state: 'forgotten' })
    if (ending.state === 'refuse') return leave(ending)
    await record.complete(claim, ending.outcome)
  }
  try {
    await bridge.transaction(inside, { transactionMs })
    return { state: 'committed' }
  } catch (error) {
    if (left === undefined && isRolledBack(error)) return { state: 'conflict' }
    if (left === undefined) throw error
  }
  if (left.state === 'locked') return lookedAt(claim, joined)
  if (left.state !== 'refuse') return left
  const { outcome } = left
  // The effects are undone. In between somebody else may have come: then what they did is the answer.
  return transact({ ...request, work: async () => ({ state: 'commit', outcome }) }, joined)
}

/** @throws OptionsError unless the bridge sees the row that tells this store from every other */
export async function checkBridge<Tx>(bridge: Bridge<Tx>, texts: SqlTexts, own: unknown): Promise<void> {
  const seen = await bridge
    .transaction(async (tx) => bridge.query(tx, texts.filled(IDENTITY, []), []), { transactionMs: 5_000 })
    .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
  if (typeof seen !== 'string' && own !== '' && identityText(seen[0]) === own) return
  const why = typeof seen === 'string' ? ` (${seen})` : ''
  throw new OptionsError(
    `the bridge '${bridge.name}' does not lead to the store's own database${why}, so that nothing would commit together: give both the same`,
  )
}

/** What tells the store from every other. */
export function identityOf(rows: (sql: string) => Promise<readonly MysqlRow[]>): Promise<string> {
  return rows(IDENTITY).then(([row]) => identityText(row))
}

function identityText(row: MysqlRow | undefined): string {
  const identity = row?.['identity']
  if (typeof identity === 'string') return identity
  return identity instanceof Uint8Array ? Buffer.from(identity).toString() : ''
}

/** What a record shows that somebody has locked: what they leave as it is can be told at once. */
async function lookedAt(claim: Claim, { look }: Joined): Promise<TransactionResult> {
  const found = await look(claim.id)
  const { result, record } = decideClaim(found?.record ?? null, claim, found?.now ?? 0)
  return result.state === 'claimed' || record !== found?.record ? { state: 'busy', leaseMs: 0 } : result
}

/** What a bridge's library made of the server's error may stand around it. */
function numbersOf(error: unknown): readonly number[] {
  const numbers: number[] = []
  let each = error
  for (let depth = 0; depth < 8 && each instanceof Error; depth += 1) {
    numbers.push(errorNumber(each) ?? 0)
    each = each.cause
  }
  return numbers
}

/** Somebody's lock or change was in the way, of the work's statements too: nothing is committed, and it can be made again. */
function isRolledBack(error: unknown): boolean {
  const { deadlock, lockWait, changedSince } = errorNumbers
  return numbersOf(error).some((number) => number === deadlock || number === lockWait || number === changedSince)
}

/** One operation's record, read and written inside a transaction. */
class JoinedRecord<Tx> {
  readonly #bridge: Bridge<Tx>
  readonly #tx: Tx
  readonly #joined: Joined
  readonly #inserted = randomBytes(8)
  #found: Found | undefined
  /** By this process's clock. Milliseconds. */
  #foundAt = 0
  #claimed: OperationRecord | null = null

  constructor(bridge: Bridge<Tx>, tx: Tx, joined: Joined) {
    this.#bridge = bridge
    this.#tx = tx
    this.#joined = joined
  }

  async claim(claim: Claim): Promise<ClaimResult | { readonly state: 'locked' }> {
    const found = await this.#insertOrLock(claim)
    if (found === null) return { state: 'locked' }
    this.#found = found
    this.#foundAt = performance.now()
    if (this.#isInserted(found)) return { state: 'claimed', attempt: 1, generation: claim.owner, steps: [] }
    const { record, now } = found
    // Written by a transaction of this call that its own work has ended before its time: what it did stands, and is not done again.
    if (record.state === 'running' && record.owner === claim.owner) return { state: 'busy', leaseMs: 0 }
    const decision = decideClaim(record, claim, now)
    this.#claimed = decision.record
    return decision.result
  }

  /** Completes what was claimed. */
  async complete({ id, owner }: Claim, outcome: Outcome): Promise<void> {
    const found = this.#found
    if (found === undefined) throw new Error('what is completed was claimed before')
    const isFitting = completionBytes({ outcome }) <= this.#joined.packetBytesMax
    const kept = isFitting ? outcome : notKept(outcome.meta)
    const inside = this.#joined.isMariadb ? STILL_INSIDE : ''
    const revision = randomBytes(8)
    const [row] = this.#isInserted(found)
      ? await this.#rows(COMPLETE_INSERTED + inside, ['completed', revision, ...resultValues(kept), idBytes(id), this.#inserted])
      : await this.#rows(UPDATE_RECORDS + inside, [
          repeated(UPDATED_ROW, [changedValues(found, this.#completed(found, owner, kept))]),
          revision,
          Number.MAX_SAFE_INTEGER,
        ])
    if (Number(row?.['affectedRows']) === 1) return
    throw new Error(
      'the transaction was ended by its own handler, by a statement that commits or rolls back, so that what it did may stand without its outcome: ' +
        'leave such statements out',
    )
  }

  /** What had an attempt or a life before. The lease plays no part: nobody could take over. */
  #completed(found: Found, owner: string, outcome: Outcome): OperationRecord {
    const claimed = this.#claimed
    if (claimed === null) throw new Error('what is completed was claimed before')
    const now = Math.min(found.now + Math.round(performance.now() - this.#foundAt), claimed.leaseUntil)
    const { id, attempt } = claimed
    const { record } = decideSettlement(claimed, { kind: 'complete', id, attempt, owner, outcome }, now)
    if (record === null) throw new Error('a completion leaves a record')
    return record
  }

  #isInserted(found: Found): boolean {
    return this.#inserted.equals(found.revision)
  }

  /** The record, its own or one that was there; null where somebody has it locked. */
  async #insertOrLock(claim: Claim): Promise<Found | null> {
    try {
      const [row] = await (this.#joined.isMariadb
        ? this.#rows(INSERT_OR_LOCK, this.#first(claim))
        : this.#insertedOrLocked(claim))
      if (row === undefined) throw new Error(`the bridge '${this.#bridge.name}' hands out no rows`)
      return foundOf(row)
    } catch (error) {
      if (numbersOf(error).includes(errorNumbers.lockWait)) return null
      throw error
    }
  }

  async #insertedOrLocked(claim: Claim): Promise<readonly MysqlRow[]> {
    await this.#rows(WAIT_LESS, [])
    try {
      await this.#rows(INSERT_IF_ABSENT, this.#first(claim))
      return await this.#rows(SELECT_LOCKED, [idBytes(claim.id)])
    } finally {
      await this.#rows(WAIT_AS_BEFORE, []).catch(() => {})
    }
  }

  /** The columns of a first attempt, its times counted from when it is written. */
  #first(claim: Claim): readonly MysqlValue[] {
    const { record } = decideClaim(null, claim, 0)
    if (record === null) throw new Error('a first claim leaves a record')
    return firstValues(record, this.#inserted)
  }

  #rows(sql: string, values: readonly MysqlValue[]): Promise<readonly MysqlRow[]> {
    return this.#bridge.query(this.#tx, this.#joined.texts.filled(sql, values), [])
  }
}
