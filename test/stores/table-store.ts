import { StoreDataError } from '../../src/core/errors.ts'
import type { OperationRecord } from '../../src/core/record.ts'
import type { Guarantee, RecordFilter, RecordPage, RecordView, Store } from '../../src/core/store.ts'
import {
  decideClaim,
  decideSettlement,
  type Claim,
  type ClaimResult,
  type Decision,
  type Settlement,
  type SettleResult,
} from '../../src/core/transitions.ts'
import { isMeant, viewAt } from '../../src/core/view.ts'

/** A database for several `TableStore`s: a map, and those who wait for a change of it. */
export class Shelf {
  readonly records: Map<string, OperationRecord> = new Map()
  readonly watchers: Set<() => void> = new Set()
}

/** What this database refuses: a fingerprint of this, an owner of this. */
export const refusedWord = 'refused by the database'

/** A sound store in small parts, each of which a variant can break. Unlike the memory store it has instances, and refuses data. */
export class TableStore implements Store {
  readonly name: string = 'table'
  readonly synchronous = false
  readonly guarantee: Guarantee = { tier: 'best-effort', reason: 'records are kept on a shelf' }
  protected readonly shelf: Shelf
  protected readonly clockOffsetMs: () => number
  protected isClosed = false
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(shelf: Shelf, clockOffsetMs: () => number) {
    this.shelf = shelf
    this.clockOffsetMs = clockOffsetMs
  }

  async open(): Promise<void> {}

  claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    return this.answer(() => this.claimAll(claims))
  }

  settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    return this.answer(() => this.settleAll(settlements))
  }

  find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    return this.answer(() => ids.map((id) => this.viewAt(this.get(id), this.now())))
  }

  list(filter: RecordFilter, limit: number, after = ''): Promise<RecordPage> {
    return this.answer(() => {
      const meant = this.meant(filter).filter(({ record }) => record.id > after)
      const records = meant.slice(0, limit)
      return { records, next: meant.length > limit ? (records.at(-1)?.record.id ?? null) : null }
    })
  }

  purge(filter: RecordFilter, limit: number): Promise<number> {
    return this.answer(() => {
      const meant = this.meant(filter).filter((view) => this.mayPurge(view))
      return this.removeAll(meant.slice(0, limit).map(({ record }) => record))
    })
  }

  sweep(limit: number): Promise<number> {
    return this.answer(() => {
      const outlived = [...this.shelf.records.values()].filter((record) => this.isOutlived(record)).slice(0, limit)
      for (const record of outlived) this.put(record.id, this.swept(record))
      return outlived.length
    })
  }

  async watch(_ids: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = (): void => reject(signal.reason)
    signal.addEventListener('abort', abort)
    this.shelf.watchers.add(resolve)
    await promise.finally(() => {
      signal.removeEventListener('abort', abort)
      this.shelf.watchers.delete(resolve)
    })
  }

  async close(): Promise<void> {
    this.isClosed = true
    await Promise.allSettled(this.#underWay)
  }

  protected now(): number {
    return Date.now() + this.clockOffsetMs()
  }

  protected get(id: string): OperationRecord | null {
    return this.shelf.records.get(id) ?? null
  }

  protected put(id: string, record: OperationRecord | null): void {
    if (record === null) this.shelf.records.delete(id)
    else this.shelf.records.set(id, record)
    for (const changed of this.shelf.watchers) changed()
  }

  protected claimAll(claims: readonly Claim[]): readonly ClaimResult[] {
    if (claims.some(({ fingerprint }) => fingerprint === refusedWord)) throw new StoreDataError('a fingerprint was refused')
    return claims.map((claim) => this.claimOne(claim))
  }

  protected claimOne(claim: Claim): ClaimResult {
    return this.apply(claim.id, this.decideClaim(this.get(claim.id), claim, this.now()))
  }

  protected settleAll(settlements: readonly Settlement[]): readonly SettleResult[] {
    if (settlements.some((each) => 'owner' in each && each.owner === refusedWord))
      throw new StoreDataError('an owner was refused')
    return settlements.map((settlement) => this.settleOne(settlement))
  }

  protected settleOne(settlement: Settlement): SettleResult {
    return this.apply(settlement.id, this.decideSettlement(this.get(settlement.id), settlement, this.now()))
  }

  protected decideClaim(record: OperationRecord | null, claim: Claim, now: number): Decision<ClaimResult> {
    return decideClaim(record, claim, now)
  }

  protected decideSettlement(record: OperationRecord | null, settlement: Settlement, now: number): Decision<SettleResult> {
    return decideSettlement(record, settlement, now)
  }

  protected apply<Result>(id: string, { result, record }: Decision<Result>): Result {
    if (record !== this.get(id)) this.put(id, record)
    return result
  }

  protected viewAt(record: OperationRecord | null, now: number): RecordView | null {
    return viewAt(record, now)
  }

  protected isMeant(view: RecordView, filter: RecordFilter): boolean {
    return isMeant(view, filter, this.now())
  }

  protected meant(filter: RecordFilter): readonly RecordView[] {
    return [...this.shelf.records.values()]
      .map((record) => this.viewAt(record, this.now()))
      .filter((view): view is RecordView => view !== null && this.isMeant(view, filter))
      .toSorted((a, b) => (a.record.id < b.record.id ? -1 : 1))
  }

  protected mayPurge({ state }: RecordView): boolean {
    return state !== 'running'
  }

  protected removeAll(records: readonly OperationRecord[]): number {
    for (const { id } of records) this.put(id, null)
    return records.length
  }

  protected isOutlived(record: OperationRecord): boolean {
    const view = viewAt(record, this.now())
    return view === null || (view.state === 'expired' && record.state !== 'tombstone')
  }

  protected swept(record: OperationRecord): OperationRecord | null {
    return viewAt(record, this.now()) === null ? null : { ...record, state: 'tombstone', outcome: null }
  }

  /** Does the work at once. */
  protected async answer<Result>(work: () => Result): Promise<Result> {
    if (this.isClosed) throw new Error('the store is closed')
    const answer = this.delayed(work)
    this.#underWay.add(answer)
    return answer.finally(() => this.#underWay.delete(answer))
  }

  protected async delayed<Result>(work: () => Result): Promise<Result> {
    return work()
  }
}
