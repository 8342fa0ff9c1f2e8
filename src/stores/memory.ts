import { StoreFullError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { notKept, outcomeBytes } from '../core/outcome.ts'
import { stateAt, type OperationRecord } from '../core/record.ts'
import {
  decideClaim,
  decideSettlement,
  type Claim,
  type ClaimResult,
  type Decision,
  type Settlement,
  type SettleResult,
} from '../core/transitions.ts'
import { isMeant, viewAt } from '../core/view.ts'
import type { Guarantee, RecordFilter, RecordPage, RecordView, Store } from '../core/store.ts'

/** Options of the memory store. */
export interface MemoryOptions {
  /** Records kept at the most; a claim of a further operation is refused with `store_full`. @default 100,000 */
  readonly recordsMax?: number
  /** Bytes of outcomes and step results kept at the most; an outcome beyond them is completed as not kept. @default 64 MiB */
  readonly bytesMax?: number
  /** Added to the clock by which leases and expiry are judged: for tests. Milliseconds. @default () => 0 */
  readonly clockOffsetMs?: () => number
}

/** A store in this process: for tests and development, and where losing every record with the process is acceptable. */
export function memory(options: MemoryOptions = {}): Store {
  return new MemoryStore(options)
}

/** Runs the transition tables themselves, on a map. It never forgets a live record to make room: it refuses instead. */
class MemoryStore implements Store {
  readonly name = 'memory'
  readonly synchronous = true
  readonly guarantee: Guarantee = { tier: 'best-effort', reason: 'records are kept in this process and vanish with it' }
  readonly #records = new Map<string, OperationRecord>()
  readonly #watchers = new Map<string, Set<() => void>>()
  readonly #recordsMax: number
  readonly #bytesMax: number
  readonly #clockOffsetMs: () => number
  #bytes = 0
  /** Where the next sweep goes on, so that each record is looked at in turn however many there are. */
  #sweeping: MapIterator<OperationRecord> | undefined

  constructor(options: MemoryOptions) {
    this.#recordsMax = options.recordsMax ?? limits.memoryRecordsMax
    this.#bytesMax = options.bytesMax ?? limits.memoryBytesMax
    this.#clockOffsetMs = options.clockOffsetMs ?? (() => 0)
  }

  async open(): Promise<void> {}

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    const now = this.#now()
    if (this.#records.size + claims.length > this.#recordsMax) this.#makeRoom(claims, now)
    return claims.map((claim) => {
      const record = this.#get(claim.id)
      return this.#apply(claim.id, record, decideClaim(record, claim, now))
    })
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    const now = this.#now()
    return settlements.map((settlement) => {
      const record = this.#get(settlement.id)
      return this.#apply(settlement.id, record, decideSettlement(record, this.#fitted(settlement), now))
    })
  }

  async watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = (): void => reject(signal.reason)
    for (const id of ids) this.#watchersOf(id).add(resolve)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', abort)
      for (const id of ids) this.#unwatch(id, resolve)
    }
  }

  async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    const now = this.#now()
    return ids.map((id) => viewAt(this.#get(id), now))
  }

  async list(filter: RecordFilter, limit: number, after = ''): Promise<RecordPage> {
    const meant = this.#meant(filter).filter(({ record }) => record.id > after)
    const records = meant.toSorted((a, b) => (a.record.id < b.record.id ? -1 : 1)).slice(0, limit)
    return { records, next: meant.length > limit ? (records.at(-1)?.record.id ?? null) : null }
  }

  async purge(filter: RecordFilter, limit: number): Promise<number> {
    const meant = this.#meant(filter)
      .filter(({ state }) => state !== 'running')
      .slice(0, limit)
    for (const { record } of meant) this.#put(record.id, record, null)
    return meant.length
  }

  async sweep(limit: number): Promise<number> {
    const now = this.#now()
    let touched = 0
    for (let seen = 0; seen < limit; seen += 1) {
      this.#sweeping ??= this.#records.values()
      const { value: record, done } = this.#sweeping.next()
      if (done === true) this.#sweeping = undefined
      if (record === undefined) break
      if (this.#outlived(record, now)) touched += 1
    }
    return touched
  }

  async close(): Promise<void> {}

  #now(): number {
    return Date.now() + this.#clockOffsetMs()
  }

  #get(id: string): OperationRecord | null {
    return this.#records.get(id) ?? null
  }

  #meant(filter: RecordFilter): RecordView[] {
    const now = this.#now()
    return Array.from(this.#records.values(), (record) => viewAt(record, now)).filter(
      (view): view is RecordView => view !== null && isMeant(view, filter, now),
    )
  }

  #apply<Result>(id: string, before: OperationRecord | null, { result, record }: Decision<Result>): Result {
    if (record !== before) this.#put(id, before, record)
    return result
  }

  #put(id: string, before: OperationRecord | null, after: OperationRecord | null): void {
    this.#bytes += bytesOf(after) - bytesOf(before)
    if (after === null) this.#records.delete(id)
    else this.#records.set(id, after)
    if (this.#watchers.size === 0) return
    for (const changed of this.#watchers.get(id) ?? []) changed()
  }

  /** An outcome for which there is no room is completed as not kept: never a second run, never more memory than allowed. */
  #fitted(settlement: Settlement): Settlement {
    if (settlement.kind !== 'complete') return settlement
    const { outcome } = settlement
    if (this.#bytes + outcomeBytes(outcome) <= this.#bytesMax) return settlement
    return { ...settlement, outcome: notKept() }
  }

  #makeRoom(claims: readonly Claim[], now: number): void {
    // Replays need no room, and must not pay for the look at every record that makes it.
    if (claims.every(({ id }) => viewAt(this.#get(id), now) !== null)) return
    for (const record of this.#records.values()) this.#outlived(record, now)
    const fresh = new Set(claims.map(({ id }) => id).filter((id) => !this.#records.has(id)))
    if (this.#records.size + fresh.size <= this.#recordsMax) return
    throw new StoreFullError(
      `the memory store holds ${this.#recordsMax} records that have not expired; nothing was claimed: raise recordsMax, shorten ttl, or use a store on disk`,
    )
  }

  /** Removes an expired record, and the outcome of one that is only remembered. */
  #outlived(record: OperationRecord, now: number): boolean {
    const state = stateAt(record, now)
    if (state === 'absent') this.#put(record.id, record, null)
    else if (state === 'expired' && record.state === 'completed')
      this.#put(record.id, record, { ...record, state: 'tombstone', outcome: null })
    else return false
    return true
  }

  #watchersOf(id: string): Set<() => void> {
    const found = this.#watchers.get(id)
    if (found !== undefined) return found
    const created = new Set<() => void>()
    this.#watchers.set(id, created)
    return created
  }

  #unwatch(id: string, watcher: () => void): void {
    const watchers = this.#watchers.get(id)
    watchers?.delete(watcher)
    if (watchers?.size === 0) this.#watchers.delete(id)
  }
}

function bytesOf(record: OperationRecord | null): number {
  if (record === null) return 0
  let bytes = record.outcome === null ? 0 : outcomeBytes(record.outcome)
  for (const { result } of record.steps) bytes += outcomeBytes(result)
  return bytes
}
