import type { OperationRecord } from '../../../src/core/record.ts'
import type { Store } from '../../../src/core/store.ts'
import type { ClaimResult, Decision, SettleResult } from '../../../src/core/transitions.ts'
import type { Shelf } from '../table-store.ts'

/** Makes a store of a variant on a shelf. */
export type MakeStore = new (shelf: Shelf, clockOffsetMs: () => number) => Store

/** Stores that break the contract in one way each, by what is wrong with them. */
export type Variants = Readonly<Record<string, MakeStore>>

/** What a decision is made on: a record, or none. */
export type Found = OperationRecord | null

export type Claimed = Decision<ClaimResult>
export type Settled = Decision<SettleResult>

/** The record that is left, changed; where one is left. */
export function leaving<Result>(
  { result, record }: Decision<Result>,
  change: (record: OperationRecord) => OperationRecord,
): Decision<Result> {
  return { result, record: record && change(record) }
}
