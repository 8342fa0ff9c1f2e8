import type { Platform } from 'onceward'
import type { Random } from './random.ts'
import type { VirtualTime } from '../engine/virtual-time.ts'

/**
 * A process: whatever is to happen in it happens by way of `run`. While it is stalled, that waits until the stall is over; once it
 * has crashed, nothing happens in it any more, and what it waited for stays pending for ever.
 */
export class Host {
  readonly name: string
  readonly #time: VirtualTime
  readonly #random: Random
  #stalledUntil = 0
  #cutUntil = 0
  #hasCrashed = false
  #troubledAt = -Infinity
  #ids = 0

  constructor(name: string, time: VirtualTime, random: Random) {
    this.name = name
    this.#time = time
    this.#random = random
  }

  get hasCrashed(): boolean {
    return this.#hasCrashed
  }

  /** Its messages to the store are lost, both ways. */
  get isCutOff(): boolean {
    return this.#hasCrashed || this.#cutUntil > this.#time.now
  }

  /** When something last went wrong with it, a lost message included; now, while it goes on. */
  get troubledAt(): number {
    const lasting = this.#hasCrashed || this.isCutOff || this.#stalledUntil > this.#time.now
    return lasting ? this.#time.now : Math.max(this.#troubledAt, this.#cutUntil, this.#stalledUntil)
  }

  crash(): void {
    this.#hasCrashed = true
  }

  stall(ms: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#time.now + ms)
  }

  cutOff(ms: number): void {
    this.#cutUntil = Math.max(this.#cutUntil, this.#time.now + ms)
  }

  trouble(): void {
    this.#troubledAt = this.#time.now
  }

  /** Something happens in this process, now or when its stall is over. */
  run(callback: () => void): void {
    if (this.#hasCrashed) return
    const leftMs = this.#stalledUntil - this.#time.now
    if (leftMs > 0) this.#time.timer(leftMs, () => this.run(callback))
    else callback()
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#time.timer(ms, () => this.run(resolve)))
  }

  /** What an engine in this process takes from its surroundings. */
  platform(): Partial<Platform> {
    const { endOfTurn, ...rest } = this.#time.platform()
    return {
      ...rest,
      random: this.#random.next,
      randomId: () => `${this.name}#${(this.#ids += 1)}`,
      endOfTurn: (callback) => endOfTurn?.(() => this.run(callback)),
      timer: (delayMs, callback) => this.#timer(delayMs, callback),
    }
  }

  /** May be cancelled even while a stall holds it back. */
  #timer(delayMs: number, callback: () => void): () => void {
    let isCancelled = false
    const cancel = this.#time.timer(delayMs, () => this.run(() => isCancelled || callback()))
    return () => {
      isCancelled = true
      cancel()
    }
  }
}
