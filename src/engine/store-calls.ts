import { StoreDataError, StoreFullError, StoreUnavailableError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { notKept } from '../core/outcome.ts'
import { Lane, type LaneOptions } from './lane.ts'
import type { Claim, ClaimResult, Settlement, SettleResult } from '../core/transitions.ts'
import type { OncewardEvent } from './events.ts'
import type { Platform } from './platform.ts'
import type { Store } from '../core/store.ts'

/** What the calls to a store need to know. */
export interface StoreCallsOptions {
  readonly store: Store
  readonly platform: Platform
  readonly storeTimeoutMs: number
  readonly emit: (event: OncewardEvent) => void
  /** Called once the store is open, before anything else is. */
  readonly opened: () => Promise<void>
}

/**
 * Every call to the store: in batches, bounded in time, and asked again when no answer came. A call without an answer leaves
 * unknown whether it was applied; a claim is then repeated under the same owner, a settlement under the same fence, and both
 * are recognised by the store.
 */
export class StoreCalls {
  readonly store: Store
  readonly #platform: Platform
  readonly #storeTimeoutMs: number
  readonly #emit: (event: OncewardEvent) => void
  readonly #whenOpened: () => Promise<void>
  readonly #claims: Lane<Claim, ClaimResult>
  readonly #settlements: Lane<Settlement, SettleResult>
  readonly #renewals: Lane<Settlement, SettleResult>
  readonly #unsettled = new Set<Promise<unknown>>()
  readonly #flushes: (() => void)[] = []
  #opening: Promise<void> | undefined
  #opened = false
  #closed = false

  constructor({ store, platform, storeTimeoutMs, emit, opened }: StoreCallsOptions) {
    this.#whenOpened = opened
    this.store = store
    this.#platform = platform
    this.#storeTimeoutMs = storeTimeoutMs
    this.#emit = emit
    const { batchMax, batchesInFlightMax, batchUnsharedMax: unsharedMax, queueMax } = limits
    // Two batches on their way at a time gain nothing where the store does one after the other, in this thread.
    const inFlightMax = store.synchronous ? 1 : batchesInFlightMax
    const lane: LaneOptions = { batchMax, inFlightMax, unsharedMax, queueMax, schedule: this.#atEndOfTurn }
    // A caller is told within a bound that the store is away, however many there are. No settlement is given up for that.
    this.#claims = new Lane((claims) => this.call('claim', () => store.claim(claims)), { ...lane, failTogether: true })
    this.#settlements = new Lane((settlements) => this.call('settle', () => store.settle(settlements)), lane)
    // One that is never answered must not keep the next from being sent in time.
    const renewalLane = { ...lane, inFlightMax: limits.renewalsPerLease, unsharedMax: batchMax }
    this.#renewals = new Lane((renewals) => this.call('renew', () => store.settle(renewals)), renewalLane)
  }

  /** Opens the store once; after a failure the next call tries again. */
  open(): Promise<void> {
    this.#opening ??= this.#open()
    return this.#opening
  }

  async #open(): Promise<void> {
    try {
      await this.#bounded(this.store.open().then(this.#whenOpened))
      this.#opened = true
      const { name, guarantee } = this.store
      this.#emit({ type: 'opened', store: name, tier: guarantee.tier, reason: guarantee.reason })
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  /** Closes the store, if it was opened. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#opening?.catch(() => {})
    if (this.#opened) await this.store.close()
  }

  /** One call, bounded by the store's timeout and what its own work may take; a failure is told to the listener. */
  async call<Result>(name: string, make: () => Promise<Result>, workMs = 0): Promise<Result> {
    try {
      // A store that is open is called without a pause: what its lanes send in one turn shall reach it in that turn.
      return await this.#bounded(this.#opened ? make() : this.open().then(make), workMs)
    } catch (error) {
      this.#emit({ type: 'storeFailed', call: name, error })
      throw error
    }
  }

  /**
   * Claims; asks again under the same owner while no answer comes.
   * @throws StoreUnavailableError when none came in time: should the claim have happened, it is given back when the store answers
   * @throws StoreDataError, StoreFullError: nothing was claimed
   */
  claim(claim: Claim): Promise<ClaimResult> {
    const deadline = this.#platform.monotonicNow() + limits.claimRetryMs
    // Nearly every claim is answered at the first time of asking, which is why that is not part of the loop: it costs no frame of its own.
    return this.#claims.add(claim).catch((error: unknown) => this.#claimAgain(claim, error, deadline))
  }

  async #claimAgain(claim: Claim, first: unknown, deadline: number): Promise<ClaimResult> {
    let error = first
    for (let pauseMs = limits.retryMs; ; pauseMs = this.#nextPause(pauseMs)) {
      if (error instanceof StoreDataError || error instanceof StoreFullError) throw error
      if (this.#platform.monotonicNow() + pauseMs > deadline) throw this.abandon(claim, error)
      await this.sleep(pauseMs)
      try {
        return await this.#claims.add(claim)
      } catch (next) {
        error = next
      }
    }
  }

  /** Gives up a claim that may have happened: should it have, it is given back when the store answers. */
  abandon({ id, owner }: Claim, cause: unknown): StoreUnavailableError {
    void this.#insist({ kind: 'release', id, owner })
    return new StoreUnavailableError(cause)
  }

  /**
   * Settles; asks again while no answer comes. `unknown` when none came while a caller can be kept waiting: the settlement then
   * goes on being tried behind it. `finished` is called once it is no longer tried.
   */
  settle(settlement: Settlement, finished: () => void): Promise<SettleResult | 'unknown'> {
    // `close` does not wait for a handler whose time was up.
    if (this.#closed) return Promise.resolve('unknown')
    const accepted = (result: SettleResult): SettleResult => {
      finished()
      return result
    }
    return this.#settlements.add(settlement).then(accepted, (error: unknown) => {
      const last = this.#insist(settlement, error).finally(finished)
      return Promise.race([last, this.sleep(limits.settleAnswerMs, 'background').then(() => 'unknown' as const)])
    })
  }

  /** Renews in a lane of its own, so that no renewal waits behind a batch of claims. Not repeated: the next one is soon. */
  renew(settlement: Settlement): Promise<SettleResult> {
    return this.#renewals.add(settlement)
  }

  /** Resolves after the delay. */
  sleep(delayMs: number, kind?: 'background'): Promise<void> {
    return new Promise((resolve) => {
      this.#platform.timer(delayMs, resolve, kind)
    })
  }

  /** Resolves when nothing is being tried any more behind answered callers; after `drainMs` in any case. */
  async drain(): Promise<void> {
    let isOver = false
    const over = this.sleep(limits.drainMs, 'background').then(() => {
      isOver = true
    })
    while (this.#unsettled.size > 0 && !isOver) await Promise.race([over, Promise.all(this.#unsettled)])
  }

  /** Tries a settlement until it is accepted or stale, for `settleMs`. Never rejects. */
  #insist(settlement: Settlement, error?: unknown): Promise<SettleResult | 'unknown'> {
    if (this.#closed || this.#unsettled.size >= limits.unsettledMax) return Promise.resolve('unknown')
    const trying = this.#tryOn(settlement, error).finally(() => this.#unsettled.delete(trying))
    this.#unsettled.add(trying)
    return trying
  }

  async #tryOn(first: Settlement, firstError: unknown): Promise<SettleResult | 'unknown'> {
    let settlement = first
    let error = firstError
    const deadline = this.#platform.monotonicNow() + limits.settleMs
    for (
      let pauseMs = limits.retryMs;
      this.#platform.monotonicNow() < deadline && !this.#closed;
      pauseMs = this.#nextPause(pauseMs)
    ) {
      if (error instanceof StoreDataError) {
        const plain = withoutItsData(settlement)
        if (plain === null) return 'unknown'
        settlement = plain
      }
      await this.sleep(pauseMs)
      try {
        return await this.#settlements.add(settlement)
      } catch (next) {
        error = next
      }
    }
    return 'unknown'
  }

  #nextPause(pauseMs: number): number {
    return Math.min(pauseMs * 2, limits.retryMsMax) * (0.5 + this.#platform.random() / 2)
  }

  #bounded<Result>(answer: Promise<Result>, workMs = 0): Promise<Result> {
    const boundMs = this.#storeTimeoutMs + workMs
    return new Promise((resolve, reject) => {
      const tooLate = (): void => reject(new Error(`no answer within ${boundMs} ms`))
      const cancel = this.#platform.timer(boundMs, tooLate)
      answer.then(resolve, reject).finally(cancel)
    })
  }

  /**
   * The calls of one turn go together: of the answers to one batch, and of requests on several connections. All lanes flush in one callback, one
   * after the other, so that a synchronous store commits claims and settlements together.
   */
  readonly #atEndOfTurn = (flush: () => void): void => {
    this.#flushes.push(flush)
    if (this.#flushes.length === 1) this.#platform.endOfTurn(this.#flushAll)
  }

  readonly #flushAll = (): void => {
    for (const flush of this.#flushes.splice(0)) flush()
  }
}

/** The database refuses this outcome: the operation is completed all the same, as not kept. Nothing else carries data to drop. */
function withoutItsData(settlement: Settlement): Settlement | null {
  if (settlement.kind !== 'complete' || !settlement.outcome.kept) return null
  return { ...settlement, outcome: notKept(settlement.outcome.meta) }
}
