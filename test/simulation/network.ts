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
import type { Host } from './host.ts'
import type { Random } from './random.ts'
import type { VirtualTime } from '../engine/virtual-time.ts'

/** How bad a network is: each a probability per message. */
export interface Weather {
  /** Never arrives. */
  readonly lost: number
  /** Arrives seconds later, when its caller has given up. */
  readonly late: number
  /** Its caller is told at once that it failed, though it may have arrived. */
  readonly broken: number
}

/** What a network needs to know. */
export interface NetworkOptions {
  readonly time: VirtualTime
  readonly random: Random
  /** The weather at the moment. */
  readonly weather: () => Weather
  /** Whether engines are told that calls block the turn, and gather them. */
  readonly synchronous: boolean
  readonly watch: boolean
}

/** A process's way to the store: every call is a request and a reply, and each of them may be slow, late or lost. */
export class NetworkStore implements Store {
  readonly name = 'network'
  readonly synchronous: boolean
  readonly watch?: NonNullable<Store['watch']>
  readonly #inner: Store
  readonly #host: Host
  readonly #options: NetworkOptions

  constructor(inner: Store, host: Host, options: NetworkOptions) {
    this.#inner = inner
    this.#host = host
    this.#options = options
    this.synchronous = options.synchronous
    if (options.watch) this.watch = (ids, signal) => this.#watch(ids, signal)
  }

  get guarantee(): Guarantee {
    return this.#inner.guarantee
  }

  open(): Promise<void> {
    return this.#call(() => this.#inner.open())
  }

  claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    return this.#call(() => this.#inner.claim(claims))
  }

  settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    return this.#call(() => this.#inner.settle(settlements))
  }

  find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    return this.#call(() => this.#inner.find(ids))
  }

  list(filter: RecordFilter, limit: number, after?: string): Promise<RecordPage> {
    return this.#call(() => this.#inner.list(filter, limit, after))
  }

  purge(filter: RecordFilter, limit: number): Promise<number> {
    return this.#call(() => this.#inner.purge(filter, limit))
  }

  sweep(limit: number): Promise<number> {
    return this.#call(() => this.#inner.sweep(limit))
  }

  async close(): Promise<void> {}

  #call<Result>(make: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const broken = this.#options.random.chance(this.#options.weather().broken)
      if (broken) this.#tell(1, () => reject(new Error('connection reset')))
      this.#message(() => {
        make().then(
          (result) => this.#message(() => this.#host.run(() => resolve(result))),
          (error: unknown) => this.#message(() => this.#host.run(() => reject(error))),
        )
      })
    })
  }

  async #watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#inner.watch?.(ids, signal)
    await new Promise<void>((resolve) => this.#message(() => this.#host.run(resolve)))
  }

  /** One message, either way. It is lost when the process is cut off where it starts or where it arrives. */
  #message(arrive: () => void): void {
    const { time, random, weather } = this.#options
    const { lost, late } = weather()
    const isLost = random.chance(lost)
    const isLate = random.chance(late)
    if (isLost || isLate || this.#host.isCutOff) this.#host.trouble()
    if (isLost || (this.#host.isCutOff && !this.#host.hasCrashed)) return
    time.timer(isLate ? random.between(500, 5_000) : random.between(0, 8), () => {
      if (!this.#host.isCutOff || this.#host.hasCrashed) arrive()
      else this.#host.trouble()
    })
  }

  #tell(delayMs: number, callback: () => void): void {
    this.#host.trouble()
    this.#options.time.timer(delayMs, () => this.#host.run(callback))
  }
}
