import { mock } from 'node:test'
import type { Platform } from 'onceward'

// Where this file is imported the wall clock stands still: stores that read it move by `clockOffsetMs` alone, to the millisecond.
mock.timers.enable({ apis: ['Date'], now: 0 })

interface Timer {
  readonly at: number
  callback: (() => void) | undefined
}

/** Time that passes only when a test says so: timers fire in order, and between two of them everything asynchronous has come to rest. */
export class VirtualTime {
  #now = 1_000_000
  /** In the order in which they fire; two of the same time in the order in which they were set. */
  readonly #timers: Timer[] = []
  #endOfTurn: (() => void)[] = []
  #ids = 0

  /** Milliseconds; of every clock there is. */
  get now(): number {
    return this.#now
  }

  /** What a store adds to the wall clock to go by this one: the option `clockOffsetMs`. */
  readonly clockOffsetMs = (): number => this.#now - Date.now()

  /** Calls back once after the delay; returns the cancellation. */
  timer(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#now + delayMs, callback }
    this.#timers.splice(this.#placeFor(timer.at), 0, timer)
    return () => {
      timer.callback = undefined
    }
  }

  /** The surroundings of an engine that lives by this time; chance is a sequence without chance. */
  platform(): Partial<Platform> {
    return {
      now: () => this.#now,
      monotonicNow: () => this.#now,
      timer: (delayMs, callback) => this.timer(delayMs, callback),
      endOfTurn: (callback) => void this.#endOfTurn.push(callback),
      random: () => 0.5,
      randomId: () => `id-${(this.#ids += 1)}`,
    }
  }

  /** Lets everything come to rest that needs no time. */
  async turn(): Promise<void> {
    await atRest()
    while (this.#endOfTurn.length > 0) {
      const callbacks = this.#endOfTurn
      this.#endOfTurn = []
      for (const callback of callbacks) callback()
      await atRest()
    }
  }

  /** Lets time pass, and everything happen that happens in it. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms
    await this.turn()
    while (await this.step(until));
    this.#now = until
  }

  /** Lets time jump: what was due in between fires late, as it does in a process that was stopped. */
  async jump(ms: number): Promise<void> {
    this.#now += ms
    while (await this.step(this.#now));
  }

  /** Fires the next timer, if one is due by then; whether there was one. */
  async step(until: number): Promise<boolean> {
    while (this.#timers.length > 0 && this.#timers[0]?.callback === undefined) this.#timers.shift()
    const next = this.#timers[0]
    if (next?.callback === undefined || next.at > until) return false
    this.#timers.shift()
    this.#now = Math.max(this.#now, next.at)
    next.callback()
    await this.turn()
    return true
  }

  /** What the promise gives, as soon as the time it takes has passed. */
  async until<Value>(promise: Promise<Value>, withinMs = 600_000): Promise<Value> {
    let settled = false
    const mark = (): void => {
      settled = true
    }
    promise.then(mark, mark)
    const deadline = this.#now + withinMs
    await this.turn()
    while (!settled && (await this.step(deadline)));
    if (!settled) throw new Error(`still pending ${withinMs} ms later`)
    return promise
  }

  /** Behind every timer of the same time or an earlier one. */
  #placeFor(at: number): number {
    let [low, high] = [0, this.#timers.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#timers[middle]?.at ?? 0) <= at) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Node runs a `nextTick` once no microtask is left, those included that microtasks add. */
function atRest(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}
