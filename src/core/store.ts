import type { Bridge, TransactionBounds } from './bridge.ts'
import type { InterruptionCause } from './policy.ts'
import type { EffectiveState, OperationRecord, Outcome } from './record.ts'
import type { Claim, ClaimResult, Settlement, SettleResult } from './transitions.ts'

/** What a store promises of its records. */
export interface Guarantee {
  /**
   * `atomic`: the effect and the record can commit together. `fenced`: durable compare-and-swap, one owner at a time.
   * `best-effort`: a record can vanish after it was acknowledged.
   */
  readonly tier: 'atomic' | 'fenced' | 'best-effort'
  /** Why, in words, from the settings found when the store was opened. */
  readonly reason: string
}

/** A record and what it amounts to at the moment of the look; records that count as absent are not shown. */
export interface RecordView {
  readonly record: OperationRecord
  readonly state: Exclude<EffectiveState, 'absent'>
  /** How the newest attempt ended without an outcome, a lapse included; null otherwise. */
  readonly cause: InterruptionCause | null
}

/** Which records are meant. Every field given must hold. */
export interface RecordFilter {
  readonly scope?: string
  readonly name?: string
  readonly keyPrefix?: string
  readonly state?: Exclude<EffectiveState, 'absent'>
  /** Created at least this long ago by the store's clock. Milliseconds. */
  readonly olderThanMs?: number
}

/** A part of a listing, in the order of the identities. */
export interface RecordPage {
  readonly records: readonly RecordView[]
  /** Handed to the next call to go on; null at the end. */
  readonly next: string | null
}

/**
 * Where records are kept. A store translates the two tables of `transitions.ts` and judges leases and expiry by its own clock.
 * Every call may fail without saying whether it was applied: the engine then asks again. `onceward/testing` has the suite that
 * holds a store to this contract.
 */
export interface Store {
  /** The database's name, for logs. */
  readonly name: string
  /** What the store promises, found out by `open`; before that the least it could be. */
  readonly guarantee: Guarantee
  /**
   * True when a call does its work within the loop's turn and so blocks it: the engine then gathers the calls of one turn, claims
   * and settlements, and makes them one after the other without a pause, so that the store can commit them together.
   */
  readonly synchronous: boolean

  /**
   * Prepares the schema and probes the guarantee. Safe to call from many processes at once, and again after it failed or
   * while it has not answered.
   * @throws StoreOpenError that names the remedy
   */
  open(): Promise<void>

  /**
   * One atomic decision per claim, in the order given, as `decideClaim` says; an operation may occur twice. Never waits for a
   * locked row: locked is busy. The results stand in the order of the claims.
   * @throws StoreDataError when one claim's data is refused, StoreFullError when there is no room for a new operation: none was applied;
   * any other error means unknown for each
   */
  claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]>

  /**
   * One atomic decision per settlement, in the order given, as `decideSettlement` says. Acknowledged only when it is as durable as
   * the guarantee says. The results stand in the order of the settlements.
   * @throws StoreDataError when one settlement's data is refused and none was applied; any other error means unknown for each
   */
  settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]>

  /** Resolves when one of the operations may have changed; rejects with the signal's reason. Without it the engine polls. */
  watch?(ids: readonly string[], signal: AbortSignal): Promise<void>

  /** The records of these identities, in their order; null where there is none. Changes nothing. */
  find(ids: readonly string[]): Promise<readonly (RecordView | null)[]>

  /** One page of the records meant, at most `limit`; `after` is the `next` of the page before. Changes nothing. */
  list(filter: RecordFilter, limit: number, after?: string): Promise<RecordPage>

  /** Removes at most `limit` of the records meant, whatever their state but running; returns how many. */
  purge(filter: RecordFilter, limit: number): Promise<number>

  /** Removes at most `limit` expired records, and the outcomes of tombstones; returns how many it touched. Repeated in the background. */
  sweep(limit: number): Promise<number>

  /** Ends what `open` began, once the calls made before it are answered. */
  close(): Promise<void>
}

/** What the work of a transaction came to. */
export type TransactionEnding =
  /** Its effects are committed, with this outcome. */
  | { readonly state: 'commit'; readonly outcome: Outcome }
  /** Its effects are rolled back, and this outcome is stored: a refusal. */
  | { readonly state: 'refuse'; readonly outcome: Outcome }
  /** Its effects are rolled back, and nothing is stored. */
  | { readonly state: 'forget' }

/** An operation whose effects and record are to be committed together. */
export interface TransactionRequest<Tx> extends TransactionBounds {
  readonly claim: Claim
  readonly bridge: Bridge<Tx>
  /** Runs once the operation is this transaction's alone. `number` is that of the attempt. */
  readonly work: (tx: Tx, number: number) => Promise<TransactionEnding>
}

/** What became of a transaction. */
export type TransactionResult =
  /** What its work came to is the operation's outcome. */
  | { readonly state: 'committed' }
  /** It was rolled back, and nothing of it is left. */
  | { readonly state: 'forgotten' }
  /** The database rolled it back because of others: it may be run again at once. */
  | { readonly state: 'conflict' }
  /** Its work did not run. */
  | Exclude<ClaimResult, { readonly state: 'claimed' }>

/**
 * A store that can commit an operation's effects and its record together.
 * @template Tx what the store's own client hands to the work of a transaction
 */
export interface AtomicStore<Tx> extends Store {
  /** Transactions of the store's own client. */
  readonly bridge: Bridge<Tx>

  /**
   * Looks at the operation, without waiting for anybody's lock; where the transition table says `claimed`, runs the work in a transaction
   * that nobody else can run for this operation at the same time, and commits its outcome with its effects.
   * @throws what the work throws, once its effects are rolled back. Any other error means that it is unknown whether it was committed, and
   * that the connection is given up: asked again under the same owner, the store says `completed` if it was. No answer but that, or one
   * that the work ran again, proves that it was not.
   */
  transaction<Other>(request: TransactionRequest<Other>): Promise<TransactionResult>

  /** That the bridge leads to this very store. @throws OptionsError where it does not */
  check<Other>(bridge: Bridge<Other>): Promise<void>
}
