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

/** A store call that can go wrong. A call of `settle` with renewals alone, which have a lane of their own, is `renew`. */
export type StoreCall = 'open' | 'claim' | 'settle' | 'renew' | 'find' | 'sweep'

const storeCalls: readonly StoreCall[] = ['open', 'claim', 'settle', 'renew', 'find', 'sweep']

const never = new Promise<never>(() => {})

/**
 * How it goes wrong. `loseRequest`: not applied, and it fails. `loseReply`: applied, and it fails. `hang`: not applied and never
 * answered. `hangReply`: applied and never answered. An error: not applied, and it fails with that. Else it is only slow, on its way
 * there or back. Milliseconds.
 */
export type Fault =
  'loseRequest' | 'loseReply' | 'hang' | 'hangReply' | Error | { readonly requestMs: number } | { readonly replyMs: number }

/** Options of a faulty store. */
export interface FaultyOptions {
  /** @default that of the store inside */
  readonly synchronous?: boolean
  /** False: without `watch`. @default true */
  readonly watch?: boolean
  /** Where time comes from, for calls that are slow. */
  readonly sleep?: (ms: number) => Promise<void>
}

/** A store whose calls go wrong as a test says: the nth of a kind, or every one from now on. Otherwise the one inside it. */
export class FaultyStore implements Store {
  readonly name: string
  readonly synchronous: boolean
  readonly inner: Store
  /** Every batch that reached or would have reached the store. */
  readonly claims: (readonly Claim[])[] = []
  readonly settlements: (readonly Settlement[])[] = []
  readonly watch?: NonNullable<Store['watch']>
  readonly #made = new Map<StoreCall, number>()
  readonly #nth = new Map<string, Fault>()
  readonly #every = new Map<StoreCall, Fault>()

  readonly #sleep: (ms: number) => Promise<void>

  constructor(inner: Store, { synchronous = inner.synchronous, watch = true, sleep = () => never }: FaultyOptions = {}) {
    this.#sleep = sleep
    this.name = inner.name
    this.inner = inner
    this.synchronous = synchronous
    if (watch && inner.watch !== undefined) this.watch = inner.watch.bind(inner)
  }

  get guarantee(): Guarantee {
    return this.inner.guarantee
  }

  /** How many calls of this kind were made. */
  made(call: StoreCall): number {
    return this.#made.get(call) ?? 0
  }

  /** The nth call of this kind from now on goes wrong; the next is the first. */
  spoil(call: StoreCall, fault: Fault, nth = 1): this {
    this.#nth.set(`${call} ${this.made(call) + nth}`, fault)
    return this
  }

  /** Every call of these kinds, or of every kind, goes wrong until `mend`. */
  break(fault: Fault, ...calls: StoreCall[]): this {
    for (const call of calls.length > 0 ? calls : storeCalls) this.#every.set(call, fault)
    return this
  }

  /** Nothing goes wrong any more. */
  mend(): void {
    this.#every.clear()
    this.#nth.clear()
  }

  open(): Promise<void> {
    return this.#call('open', () => this.inner.open())
  }

  claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    this.claims.push(claims)
    return this.#call('claim', () => this.inner.claim(claims))
  }

  settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    this.settlements.push(settlements)
    const call = settlements.every(({ kind }) => kind === 'renew') ? 'renew' : 'settle'
    return this.#call(call, () => this.inner.settle(settlements))
  }

  find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    return this.#call('find', () => this.inner.find(ids))
  }

  list(filter: RecordFilter, limit: number, after?: string): Promise<RecordPage> {
    return this.inner.list(filter, limit, after)
  }

  purge(filter: RecordFilter, limit: number): Promise<number> {
    return this.inner.purge(filter, limit)
  }

  sweep(limit: number): Promise<number> {
    return this.#call('sweep', () => this.inner.sweep(limit))
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  async #call<Result>(call: StoreCall, make: () => Promise<Result>): Promise<Result> {
    const nth = this.made(call) + 1
    this.#made.set(call, nth)
    const fault = this.#nth.get(`${call} ${nth}`) ?? this.#every.get(call)
    if (fault === undefined) return make()
    if (fault instanceof Error) throw fault
    if (typeof fault === 'object') return this.#late(fault, make)
    if (fault === 'loseReply' || fault === 'hangReply') await make()
    if (fault === 'hang' || fault === 'hangReply') return never
    throw new Error(`the connection was lost (${fault})`)
  }

  async #late<Result>(
    { requestMs = 0, replyMs = 0 }: { readonly requestMs?: number; readonly replyMs?: number },
    make: () => Promise<Result>,
  ): Promise<Result> {
    if (requestMs > 0) await this.#sleep(requestMs)
    const result = await make()
    if (replyMs > 0) await this.#sleep(replyMs)
    return result
  }
}
