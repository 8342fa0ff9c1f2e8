import type {
  Claim,
  ClaimResult,
  Guarantee,
  RecordFilter,
  RecordPage,
  RecordView,
  Settlement,
  SettleResult,
  Store,
} from 'onceward'
import type { VirtualTime } from '../engine/virtual-time.ts'

/** The newest attempt that the store granted for an operation. */
export interface Grant {
  readonly owner: string
  readonly attempt: number
  readonly grantedAt: number
  /** When its lease ends, by the store's clock, unless it is renewed. */
  until: number
  renewedAt: number
  /** How it ended; null while it runs or when its lease just lapsed. */
  ended: Settlement['kind'] | null
}

/** What an operation has come to, as seen from beside the store. */
export interface Seen {
  grant: Grant | null
  outcome: string | null
  /** Attempts granted in all. */
  grants: number
}

/** What an observer needs to know. */
export interface ObserverOptions {
  readonly time: VirtualTime
  readonly violation: (what: string) => void
  readonly log: (what: string) => void
  /** Told when an attempt is granted because the lease of the one before lapsed. */
  readonly lapsed: (lapsed: Grant) => void
}

/** Stands before a store, and checks what it answers against what must never be. */
export class Observer implements Store {
  readonly name: string
  readonly synchronous: boolean
  readonly #inner: Store
  readonly #options: ObserverOptions
  readonly #seen = new Map<string, Seen>()

  constructor(inner: Store, options: ObserverOptions) {
    this.#inner = inner
    this.#options = options
    this.name = inner.name
    this.synchronous = inner.synchronous
  }

  get guarantee(): Guarantee {
    return this.#inner.guarantee
  }

  seen(id: string): Seen {
    const found = this.#seen.get(id) ?? { grant: null, outcome: null, grants: 0 }
    this.#seen.set(id, found)
    return found
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    const results = await this.#inner.claim(claims)
    for (const [index, claim] of claims.entries()) this.#claimed(claim, results[index])
    return results
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    const results = await this.#inner.settle(settlements)
    for (const [index, settlement] of settlements.entries()) this.#settled(settlement, results[index])
    return results
  }

  watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#inner.watch?.(ids, signal) ?? Promise.resolve()
  }

  open(): Promise<void> {
    return this.#inner.open()
  }

  find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    return this.#inner.find(ids)
  }

  list(filter: RecordFilter, limit: number, after?: string): Promise<RecordPage> {
    return this.#inner.list(filter, limit, after)
  }

  purge(filter: RecordFilter, limit: number): Promise<number> {
    return this.#inner.purge(filter, limit)
  }

  sweep(limit: number): Promise<number> {
    return this.#inner.sweep(limit)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #claimed({ id, key, owner, leaseMs }: Claim, result: ClaimResult | undefined): void {
    const { time, log, violation, lapsed } = this.#options
    const seen = this.seen(id)
    log(`store: claim ${key} by ${owner}: ${result?.state}${result?.state === 'claimed' ? ` ${result.attempt}` : ''}`)
    if (result?.state === 'completed' && textOf(result.outcome.body) !== seen.outcome)
      violation(`${key} was answered as ${textOf(result.outcome.body)}, but ${seen.outcome} is recorded`)
    if (result?.state !== 'claimed') return
    const before = seen.grant
    if (seen.outcome !== null) violation(`${key} was granted to ${owner} after it had completed`)
    if (before?.owner === owner) return renew(before, time.now, leaseMs)
    if (before !== null && before.ended === null && before.until > time.now)
      violation(`${key} was granted to ${owner} while the lease of ${before.owner} was live: two leases at once`)
    if (before !== null && before.ended === null) lapsed(before)
    seen.grants += 1
    seen.grant = {
      owner,
      attempt: result.attempt,
      grantedAt: time.now,
      until: time.now + leaseMs,
      renewedAt: time.now,
      ended: null,
    }
  }

  #settled(settlement: Settlement, result: SettleResult | undefined): void {
    const { time, log, violation } = this.#options
    const seen = this.seen(settlement.id)
    const owner = 'owner' in settlement ? settlement.owner : 'an operator'
    if (settlement.kind !== 'renew') log(`store: ${settlement.kind} by ${owner}: ${result}`)
    if (result !== 'ok') return
    if ('attempt' in settlement && (seen.grant?.owner !== owner || seen.grant.attempt !== settlement.attempt))
      violation(`${settlement.kind} of ${owner} was accepted, but the attempt is ${seen.grant?.owner}'s`)
    if (settlement.kind === 'complete' || (settlement.kind === 'resolve' && settlement.outcome !== null))
      this.#recorded(seen, textOf(settlement.outcome?.body ?? new Uint8Array(0)), owner)
    if (settlement.kind === 'renew' && seen.grant) renew(seen.grant, time.now, settlement.leaseMs)
    else if (seen.grant?.owner === owner) seen.grant.ended = settlement.kind
  }

  #recorded(seen: Seen, outcome: string, by: string): void {
    if (seen.outcome !== null && seen.outcome !== outcome)
      this.#options.violation(`the outcome ${seen.outcome} was replaced by ${outcome} of ${by}`)
    seen.outcome = outcome
  }
}

function renew(grant: Grant, now: number, leaseMs: number): void {
  grant.until = now + leaseMs
  grant.renewedAt = now
}

/** An outcome's body as text. */
export function textOf(body: Uint8Array): string {
  return Buffer.from(body).toString()
}
