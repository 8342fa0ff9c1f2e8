import { limits } from '../core/limits.ts'
import type { Platform } from './platform.ts'
import type { StoreCalls } from './store-calls.ts'

/** Removes expired records in the background, in bounded batches, in nobody's way. */
export class Sweeper {
  readonly #calls: StoreCalls
  readonly #platform: Platform
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(calls: StoreCalls, platform: Platform) {
    this.#calls = calls
    this.#platform = platform
  }

  /** Sweeps from now on, if it does not yet. */
  start(): void {
    if (this.#cancel === undefined && !this.#stopped) this.#after(limits.sweepMs)
  }

  /** Sweeps no more. */
  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  #after(delayMs: number): void {
    this.#cancel = this.#platform.timer(delayMs, () => void this.#sweep(), 'background')
  }

  /** Never rejects: a sweep that failed was told to the listener, and the next one comes. */
  async #sweep(): Promise<void> {
    const swept = await this.#calls.call('sweep', () => this.#calls.store.sweep(limits.sweepBatch)).catch(() => 0)
    if (!this.#stopped) this.#after(swept >= limits.sweepBatch ? limits.sweepFullMs : limits.sweepMs)
  }
}
