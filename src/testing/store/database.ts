import type { Claim, Settlement } from '../../core/transitions.ts'
import type { Store } from '../../core/store.ts'

/** What the suite hands to the function that makes a database for one case. */
export interface DatabaseContext {
  /** The store adds it to its server's clock in every statement: the suite moves time by it, never backwards. Milliseconds. */
  readonly clockOffsetMs: () => number
}

/** Why a store cannot be held to something: data with a reason. */
export interface Impossible {
  readonly impossible: string
}

/** Makes data which the database itself refuses out of data it takes; one of the two at least. */
export interface RefusedData {
  readonly claim?: (taken: Claim) => Claim
  readonly settlement?: (taken: Settlement) => Settlement
}

/** A fresh, empty database for one case, and how stores reach it. */
export interface ContractDatabase {
  /** A store on it. The suite opens and closes it. */
  readonly store: Store
  /** Makes another instance on the same database, which the suite opens and closes; or why there can be none. */
  readonly second: (() => Promise<Store>) | Impossible
  /** What the database refuses, to see that a batch is then applied as a whole or not at all; or why it refuses nothing. */
  readonly refused: RefusedData | Impossible
  /** Removes the database; its stores are closed by then. */
  close(): Promise<void>
}

/** Makes a fresh, empty database for one case. */
export type OpenDatabase = (context: DatabaseContext) => Promise<ContractDatabase>

/** Options of the suite. */
export interface StoreContractOptions {
  /**
   * Cases the store deviates from, by name, each with its reason. A deviating case is run and must fail, so that no deviation
   * outlives its reason. Safety cases admit none.
   * @default {}
   */
  readonly deviations?: Readonly<Record<string, string>>
  /** Runs of each property (random commands, races): more find more. @default 50 */
  readonly runs?: number
  /** Replays the runs of a property: the seed its failure named. @default a new one each time */
  readonly seed?: number
}
