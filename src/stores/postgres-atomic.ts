import type { Bridge } from '../core/bridge.ts'
import { OptionsError } from '../core/errors.ts'
import type { Outcome } from '../core/record.ts'
import type { TransactionEnding, TransactionRequest, TransactionResult } from '../core/store.ts'
import { decideClaim, decideSettlement, type Claim, type ClaimResult, type Decision } from '../core/transitions.ts'
import { INSERT_COMPLETED, LOOK_IN_TRANSACTION, UPDATE_COMPLETED } from './postgres-atomic-sql.ts'
import { claimRow, insertValues, lookOf, updateValues, type Look } from './postgres-rows.ts'
import { IDENTITY, named, type PostgresTables } from './postgres-schema.ts'

/** The tables that transactions join. */
export interface Joined {
  readonly tables: PostgresTables
  /** Tells this table's advisory locks from another's. */
  readonly salt: bigint
  /** What is added to the server's clock, as a parameter. */
  readonly offset: string
}

/** What a transaction that is rolled back on purpose has come to. */
type Left = Exclude<TransactionResult, { state: 'committed' }> | Extract<TransactionEnding, { state: 'refuse' }>

/**
 * Runs work in a transaction of the bridge's, and commits its outcome with its effects. The look comes first, the outcome last, so that a
 * transaction costs two statements more than it would alone. What keeps everybody else out is a lock of this transaction, which ends with it.
 */
export async function transact<Tx>(request: TransactionRequest<Tx>, joined: Joined): Promise<TransactionResult> {
  const { bridge, transactionMs } = request
  let left: Left | undefined
  let first: { readonly error: unknown } | undefined
  const inside = async (tx: Tx): Promise<void> => {
    try {
      left = await through(tx, request, joined)
    } catch (error) {
      first = { error }
      throw error
    }
    if (left !== undefined) throw new Error('the transaction is rolled back')
  }
  try {
    await bridge.transaction(inside, { transactionMs })
    return { state: 'committed' }
  } catch (error) {
    // A rollback that fails must not hide why there was one.
    const why = first === undefined ? error : first.error
    if (left === undefined && isConflict(why)) return { state: 'conflict' }
    if (left === undefined) throw why
  }
  if (left.state !== 'refuse') return left
  const { outcome } = left
  // The effects are undone. In between somebody else may have come: then what they did is the answer.
  return transact({ ...request, work: async () => ({ state: 'commit', outcome }) }, joined)
}

/** Undefined: what it came to is written, and to be committed. */
async function through<Tx>(tx: Tx, request: TransactionRequest<Tx>, joined: Joined): Promise<Left | undefined> {
  const { claim, bridge, work, transactionMs } = request
  const record = new JoinedRecord(bridge, tx, joined)
  const found = await record.claim(claim, transactionMs)
  if (found.state !== 'claimed') return found
  const ending = await work(tx, found.attempt)
  if (ending.state === 'forget') return { state: 'forgotten' }
  if (ending.state === 'refuse') return ending
  return (await record.complete(claim, ending.outcome)) ? undefined : { state: 'conflict' }
}

/** @throws OptionsError unless the bridge sees the row that tells this store from every other */
export async function checkBridge<Tx>(bridge: Bridge<Tx>, tables: PostgresTables, identity: unknown): Promise<void> {
  const seen = await bridge
    .transaction(async (tx) => bridge.query(tx, named(IDENTITY, tables), []), { transactionMs: 5_000 })
    .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
  if (typeof seen !== 'string' && typeof identity === 'string' && seen[0]?.['identity'] === identity) return
  const why = typeof seen === 'string' ? ` (${seen})` : ''
  throw new OptionsError(
    `the bridge '${bridge.name}' does not lead to the store's own database${why}, so that nothing would commit together: give both the same database`,
  )
}

/** One operation's record, read and written inside a transaction. */
class JoinedRecord<Tx> {
  readonly #bridge: Bridge<Tx>
  readonly #tx: Tx
  readonly #joined: Joined
  #look: Look | undefined
  #decision: Decision<ClaimResult> | undefined

  constructor(bridge: Bridge<Tx>, tx: Tx, joined: Joined) {
    this.#bridge = bridge
    this.#tx = tx
    this.#joined = joined
  }

  async claim(claim: Claim, transactionMs: number): Promise<ClaimResult> {
    const { salt, offset } = this.#joined
    const [id = null, latch = null] = claimRow(claim, salt)
    const owner = `\\x${Buffer.from(claim.owner).toString('hex')}`
    const [row] = await this.#query(LOOK_IN_TRANSACTION, [offset, id, latch, owner, String(Math.ceil(transactionMs))])
    if (row === undefined) throw new Error('a look gives a row')
    this.#look = lookOf(Object.values(row))
    this.#decision = decideClaim(this.#look.read?.record ?? null, claim, this.#look.now)
    const { result } = this.#decision
    // The look's own flag: whether anybody else can have it.
    if (result.state === 'claimed' && !this.#look.added) return { state: 'busy', leaseMs: 0 }
    return result
  }

  /** Completes what was claimed; false where somebody else's record is there. */
  async complete({ id, owner }: Claim, outcome: Outcome): Promise<boolean> {
    const claimed = this.#decision?.record ?? null
    if (claimed === null || this.#look === undefined) throw new Error('what is completed was claimed before')
    const { now, read } = this.#look
    const { record } = decideSettlement(claimed, { kind: 'complete', id, attempt: claimed.attempt, owner, outcome }, now)
    if (record === null) throw new Error('a completion leaves a record')
    const { offset, tables } = this.#joined
    const written =
      read === null
        ? await this.#query(INSERT_COMPLETED, [offset, ...insertValues(record, now)])
        : await this.#query(UPDATE_COMPLETED, [offset, ...updateValues(read, record, now), tables.table])
    return written.length === 1
  }

  #query(sql: string, parameters: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return this.#bridge.query(this.#tx, named(sql, this.#joined.tables), parameters)
  }
}

/** Postgres' own codes, and Prisma's for the two together. */
const conflictCodes = new Set<unknown>(['40001', '40P01', 'P2034'])

/** Where libraries put the error that they wrap. */
const wrappers = ['cause', 'meta', 'driverAdapterError', 'original', 'parent'] as const

/** Whether Postgres rolled it back because of others, however deep a library wraps that. */
function isConflict(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 8) return false
  const member = (name: string): unknown => Reflect.get(error, name)
  if (conflictCodes.has(member('code')) || conflictCodes.has(member('originalCode'))) return true
  return wrappers.some((name) => isConflict(member(name), depth + 1))
}
