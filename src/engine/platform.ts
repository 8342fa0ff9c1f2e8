import type { Sha256 } from '../core/operation.ts'

/** A value that travels along asynchronous calls; `AsyncLocalStorage` and the AsyncContext proposal have this shape. */
export interface AsyncContext<Value> {
  run<Result>(value: Value, work: () => Result): Result
  getStore(): Value | undefined
}

/** Everything the engine takes from its surroundings: time, chance, digest, timers. Handed in, so that a race can be replayed. */
export interface Platform {
  readonly sha256: Sha256
  /** A random id that nobody can guess and no two calls share; at least 122 random bits. */
  randomId(): string
  /** A number from 0 up to 1, for jitter. */
  random(): number
  /** Milliseconds since 1970, for events. */
  now(): number
  /** Milliseconds of a clock that is never set: leases and waits are measured by it. */
  monotonicNow(): number
  /** Calls back once after the delay; returns the cancellation. `background` timers do not keep the process alive. */
  timer(delayMs: number, callback: () => void, kind?: 'background'): () => void
  /** Calls back at the end of the loop's turn, after the callbacks of everything that has arrived. */
  endOfTurn(callback: () => void): void
  /** A new value that travels along asynchronous calls. */
  asyncContext<Value>(): AsyncContext<Value>
}
