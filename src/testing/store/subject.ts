import { strict as assert } from 'node:assert'
import type { Claim, ClaimResult, Settlement, SettleResult } from '../../core/transitions.ts'
import type { RecordView, Store } from '../../core/store.ts'
import type { ContractDatabase, Impossible, OpenDatabase, RefusedData } from './database.ts'
import { claimOf, operationOne } from './fixtures.ts'

/** How often properties run, and from which seed. */
export interface Settings {
  readonly runs: number
  readonly seed: number | undefined
}

/** One sentence of the contract. */
export interface ContractCase {
  readonly name: string
  /** A safety case admits no deviation: without it an operation happens twice, or an outcome is lost or another's. */
  readonly safety: boolean
  /** False when the case opens the store itself. */
  readonly opened: boolean
  readonly run: (subject: Subject) => Promise<void>
}

/** A sentence that no store may deviate from. */
export function safety(name: string, run: ContractCase['run']): ContractCase {
  return { name, safety: true, opened: true, run }
}

/** A sentence that a store may deviate from, with a reason. */
export function courtesy(name: string, run: ContractCase['run']): ContractCase {
  return { name, safety: false, opened: true, run }
}

/** A store on a database of its own for one case, and the time that passes there. */
export class Subject {
  readonly store: Store
  readonly settings: Settings
  readonly #database: ContractDatabase
  readonly #clock: { offsetMs: number }
  readonly #unclosed: Set<Store>

  constructor(database: ContractDatabase, clock: { offsetMs: number }, settings: Settings) {
    this.store = database.store
    this.settings = settings
    this.#database = database
    this.#clock = clock
    this.#unclosed = new Set([database.store])
  }

  /** Lets time pass by the store's clock. */
  pass(ms: number): void {
    this.#clock.offsetMs += ms
  }

  /** One claim; what is not given is that of the case's one operation by its first owner. */
  async claim(given: Partial<Omit<Claim, 'id'>> = {}): Promise<ClaimResult> {
    return only(await this.store.claim([claimOf(given)]))
  }

  /** One settlement. */
  async settle(settlement: Settlement): Promise<SettleResult> {
    return only(await this.store.settle([settlement]))
  }

  /** The settlements, each in a call of its own, all of which must be accepted. */
  async settled(...settlements: readonly Settlement[]): Promise<void> {
    for (const settlement of settlements) assert.equal(await this.settle(settlement), 'ok', `${settlement.kind} is accepted`)
  }

  /** The record of the case's one operation. */
  async view(id: string = operationOne): Promise<RecordView | null> {
    return only(await this.store.find([id]))
  }

  /** Another instance on the same database, not opened; null where the store says that there can be none. */
  async another(): Promise<Store | null> {
    const { second } = this.#database
    if (isImpossible(second)) return null
    const store = await second()
    this.#unclosed.add(store)
    return store
  }

  /** Two open instances on the same database; where there can be only one, that one twice. */
  async pair(): Promise<readonly [Store, Store]> {
    const other = await this.another()
    await other?.open()
    return [this.store, other ?? this.store]
  }

  /** What the database refuses; null where the store says that it refuses nothing. */
  get refused(): RefusedData | null {
    const { refused } = this.#database
    if (isImpossible(refused)) return null
    assert.ok(refused.claim ?? refused.settlement, 'refused: give a claim or a settlement, or say why it is impossible')
    return refused
  }

  /** Closes one instance before the case ends. */
  async close(store: Store): Promise<void> {
    this.#unclosed.delete(store)
    await store.close()
  }

  /** Closes what is open, and removes the database. */
  async end(): Promise<void> {
    try {
      for (const store of this.#unclosed) await this.close(store)
    } finally {
      await this.#database.close()
    }
  }
}

/** Runs one case on a database of its own, which is removed however the case ends. */
export async function runCase(contractCase: ContractCase, open: OpenDatabase, settings: Settings): Promise<void> {
  const clock = { offsetMs: 0 }
  const database = await open({ clockOffsetMs: () => clock.offsetMs })
  const subject = new Subject(database, clock, settings)
  try {
    if (contractCase.opened) await database.store.open()
    await contractCase.run(subject)
  } catch (error) {
    // What the case found matters more than what goes wrong while it is cleared away.
    await subject.end().catch(() => undefined)
    throw error
  }
  await subject.end()
}

/** The only one of a list. */
export function only<Value>(values: readonly Value[]): Value {
  assert.equal(values.length, 1, 'one call has one result')
  const [value] = values
  // `noUncheckedIndexedAccess` cannot see the assertion; null and the union's members pass.
  if (value === undefined) throw new Error('the result is undefined')
  return value
}

function isImpossible(value: object): value is Impossible {
  if (!('impossible' in value)) return false
  assert.ok(typeof value.impossible === 'string' && value.impossible.trim() !== '', 'impossible: say why, in words')
  return true
}
