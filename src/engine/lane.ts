import { StoreDataError, StoreFullError } from '../core/errors.ts'

/** What a lane needs to know of its surroundings. */
export interface LaneOptions {
  /** Items in one batch at the most. */
  readonly batchMax: number
  /** Batches on their way at a time; items that arrive meanwhile go together in the next. */
  readonly inFlightMax: number
  /** Up to so many items are not shared out among the batches that may go. @default batchMax */
  readonly unsharedMax?: number
  /** Items waiting for a batch at the most. */
  readonly queueMax: number
  /** True: what is queued behind a batch that failed fails with it, rather than each batch after the same time in vain. */
  readonly failTogether?: boolean
  /** When to flush: at the end of the turn, so that the calls of one turn go together, and the first of them not alone. */
  readonly schedule: (flush: () => void) => void
}

interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * Group commit: calls that arrive while a batch is on its way go together in the next; with nothing on its way a call goes at
 * once. A batch is sorted by operation, so that two processes whose batches cross do not lock rows in opposite orders.
 */
export class Lane<Item extends { readonly id: string }, Result> {
  readonly #send: (items: readonly Item[]) => Promise<readonly Result[]>
  readonly #options: LaneOptions
  #queue: Waiting<Item, Result>[] = []
  #inFlight = 0
  #scheduled = false

  constructor(send: (items: readonly Item[]) => Promise<readonly Result[]>, options: LaneOptions) {
    this.#send = send
    this.#options = options
  }

  /** The store's answer to one item. A rejection other than `StoreDataError` and `StoreFullError` means that it is unknown whether it was applied. */
  add(item: Item): Promise<Result> {
    if (this.#queue.length >= this.#options.queueMax)
      return Promise.reject(new Error(`${this.#options.queueMax} calls are already queued for the store`))
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0 || this.#inFlight >= this.#options.inFlightMax) return
    this.#scheduled = true
    this.#options.schedule(this.#flush)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    const size = this.#nextSize()
    const batch = this.#queue.length <= size ? this.#queue : this.#queue.slice(0, size)
    this.#queue = batch === this.#queue ? [] : this.#queue.slice(size)
    if (batch.length > 1) batch.sort((a, b) => compare(a.item.id, b.item.id))
    this.#inFlight += 1
    void this.#deliver(batch)
    this.#schedule()
  }

  /** Many are shared out among the batches that may go now: while the store does one, this process is busy with the other. */
  #nextSize(): number {
    const { batchMax, inFlightMax, unsharedMax = batchMax } = this.#options
    const share = Math.ceil(this.#queue.length / (inFlightMax - this.#inFlight))
    return Math.min(batchMax, Math.max(unsharedMax, share))
  }

  /** Never rejects: every outcome is handed to the callers of the batch's items. */
  async #deliver(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#send(batch.map(({ item }) => item))
      for (let index = 0; index < batch.length; index += 1) answer(batch[index], results[index])
    } catch (error) {
      if (isRefusal(error) && batch.length > 1) await this.#split(batch)
      else this.#fail(batch, error)
    } finally {
      this.#inFlight -= 1
      this.#schedule()
    }
  }

  #fail(batch: readonly Waiting<Item, Result>[], error: unknown): void {
    for (const { reject } of batch) reject(error)
    if (this.#options.failTogether === true && !isRefusal(error)) for (const { reject } of this.#queue.splice(0)) reject(error)
  }

  /** Nothing of the batch was applied, because of some of its items: halves find them, and apply the others. */
  async #split(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    const middle = batch.length >> 1
    this.#inFlight += 2
    await this.#deliver(batch.slice(0, middle))
    await this.#deliver(batch.slice(middle))
  }
}

/** The store refused the batch because of some items: of one's data, or for want of room for the new ones. Nothing was applied. */
function isRefusal(error: unknown): boolean {
  return error instanceof StoreDataError || error instanceof StoreFullError
}

function answer<Result>(waiting: Waiting<unknown, Result> | undefined, result: Result | undefined): void {
  if (result !== undefined) waiting?.resolve(result)
  else waiting?.reject(new Error('the store gave fewer results than it was asked for: it breaks its contract'))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
