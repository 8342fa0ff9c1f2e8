import type { Bridge } from '../core/bridge.ts'
import { OptionsError } from '../core/errors.ts'
import type { Outcome } from '../core/record.ts'
import type { TransactionEnding, TransactionRequest, TransactionResult } from '../core/store.ts'
import { decideClaim, decideSettlement, type Claim, type ClaimResult, type Decision } from '../core/transitions.ts'
import { IDENTITY, named } from './sqlite-file.ts'
import {
  SELECT_RECORD,
  SELECT_STEPS,
  DELETE_RECORD,
  DELETE_STEPS,
  INSERT_COMPLETED,
  UPDATE_RECORD,
  bytes,
  changingValues,
  completedValues,
  foundOf,
  type Found,
} from './sqlite-records.ts'

/** The tables that transactions join, and the time by which they decide. */
export interface Joined {
  readonly table: string
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Runs work in a transaction of the bridge's, and commits its outcome with its effects. The look comes first, the outcome last, so that a
 * transaction costs two statements more than it would alone. The file's write lock, held from the beginning, keeps everybody else out.
 */
export async function transact<Tx>(request: TransactionRequest<Tx>, joined: Joined): Promise<TransactionResult> {
  const { claim, bridge, work, transactionMs } = request
  let left: Exclude<TransactionResult, { state: 'committed' }> | Extract<TransactionEnding, { state: 'refuse' }> | undefined
  const leave = (as: NonNullable<typeof left>): never => {
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
    if (left === undefined) throw error
  }
  if (left.state !== 'refuse') return left
  const { outcome } = left
  // The effects are undone. In between somebody else may have come: then what they did is the answer.
  return transact({ ...request, work: async () => ({ state: 'commit', outcome }) }, joined)
}

/** @throws OptionsError unless the bridge sees the row that tells this store from every other */
export async function checkBridge<Tx>(bridge: Bridge<Tx>, { table }: Joined, identity: string): Promise<void> {
  const seen = await bridge
    .transaction(async (tx) => bridge.query(tx, named(IDENTITY, table), []), { transactionMs: 5_000 })
    .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
  if (typeof seen !== 'string' && seen[0]?.['identity'] === identity) return
  const why = typeof seen === 'string' ? ` (${seen})` : ''
  throw new OptionsError(
    `the bridge '${bridge.name}' does not lead to the store's own database${why}, so that nothing would commit together: give both the same file`,
  )
}

/** One operation's record, read and written inside a transaction. */
class JoinedRecord<Tx> {
  readonly #bridge: Bridge<Tx>
  readonly #tx: Tx
  readonly #joined: Joined
  #found: Found | null = null
  #decision: Decision<ClaimResult> | undefined

  constructor(bridge: Bridge<Tx>, tx: Tx, joined: Joined) {
    this.#bridge = bridge
    this.#tx = tx
    this.#joined = joined
  }

  async claim(claim: Claim): Promise<ClaimResult> {
    const id = bytes(claim.id)
    const [row] = await this.#query(SELECT_RECORD, [id, id])
    const steps = row === undefined || row['steps'] === 0 ? [] : await this.#query(SELECT_STEPS, [id])
    this.#found = row === undefined ? null : foundOf(row, steps)
    this.#decision = decideClaim(this.#found?.record ?? null, claim, this.#joined.now())
    return this.#decision.result
  }

  /** Completes what was claimed. */
  async complete({ id, owner }: Claim, outcome: Outcome): Promise<void> {
    const claimed = this.#decision?.record ?? null
    if (claimed === null) throw new Error('what is completed was claimed before')
    const now = this.#joined.now()
    const { attempt } = claimed
    const { record } = decideSettlement(claimed, { kind: 'complete', id, attempt, owner, outcome }, now)
    if (record === null) throw new Error('a completion leaves a record')
    const isSame = this.#found?.record.generation === record.generation
    // What had expired makes room.
    if (this.#found !== null && !isSame) await this.#query(DELETE_RECORD, [this.#found.row.rowid])
    if (this.#found !== null && this.#found.row.steps > 0) await this.#query(DELETE_STEPS, [bytes(id)])
    if (this.#found !== null && isSame) await this.#query(UPDATE_RECORD, [...changingValues(record, now), this.#found.row.rowid])
    else await this.#query(INSERT_COMPLETED, completedValues(record, now))
  }

  #query(sql: string, parameters: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return this.#bridge.query(this.#tx, named(sql, this.#joined.table), parameters)
  }
}
