import { strict as assert } from 'node:assert'
import { decideClaim, decideSettlement, type Claim, type ClaimResult, type Decision } from '../../core/transitions.ts'
import { isMeant, viewAt } from '../../core/view.ts'
import type { OperationRecord } from '../../core/record.ts'
import type { Settlement, SettleResult } from '../../core/transitions.ts'
import type { RecordFilter, RecordView } from '../../core/store.ts'

/** The transition tables themselves, on a map and a clock that moves only when told to: what every store is compared with. */
export class Model {
  readonly #records = new Map<string, OperationRecord>()
  #now = 0

  pass(ms: number): void {
    this.#now += ms
  }

  claim(claims: readonly Claim[]): readonly ClaimResult[] {
    return claims.map((claim) => this.#apply(claim.id, decideClaim(this.record(claim.id), claim, this.#now)))
  }

  settle(settlements: readonly Settlement[]): readonly SettleResult[] {
    return settlements.map((each) => this.#apply(each.id, decideSettlement(this.record(each.id), each, this.#now)))
  }

  record(id: string): OperationRecord | null {
    return this.#records.get(id) ?? null
  }

  view(id: string): RecordView | null {
    return viewAt(this.record(id), this.#now)
  }

  /** What a filter means, in the order of the identities. */
  list(filter: RecordFilter): readonly RecordView[] {
    return Array.from(this.#records.keys(), (id) => this.view(id))
      .filter((view): view is RecordView => view !== null && isMeant(view, filter, this.#now))
      .toSorted((a, b) => (a.record.id < b.record.id ? -1 : 1))
  }

  purge(filter: RecordFilter): number {
    const meant = this.list(filter).filter(({ state }) => state !== 'running')
    for (const { record } of meant) assert.ok(this.#records.delete(record.id))
    return meant.length
  }

  #apply<Result>(id: string, { result, record }: Decision<Result>): Result {
    if (record === null) this.#records.delete(id)
    else this.#records.set(id, record)
    return result
  }
}
