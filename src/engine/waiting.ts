import { limits } from '../core/limits.ts'
import type { Call, ExecutionContext } from './context.ts'
import type { Flight } from './flights.ts'
import type { Store } from '../core/store.ts'

/** The waiting of one call for an operation that is busy elsewhere: between two looks, as long as the call may. */
export class Waiting {
  readonly #context: ExecutionContext
  readonly #call: Call
  readonly #flight: Flight
  #pauseMs: number = limits.pollMs
  /** Whether it has taken a waiter's place in this process. */
  #hasPlace = false

  constructor(context: ExecutionContext, call: Call, flight: Flight) {
    this.#context = context
    this.#call = call
    this.#flight = flight
  }

  /** Waits until the next look; false where there is to be none: the time is over, or too many wait. */
  async next(): Promise<boolean> {
    const { platform, flights, emit } = this.#context
    const { id, startedAt, waitMs, signal } = this.#call
    this.#flight.nowRunning()
    const leftMs = startedAt + waitMs - platform.monotonicNow()
    if (leftMs <= 0) return false
    if (!this.#hasPlace) {
      this.#hasPlace = flights.admit(this.#flight.followers)
      if (!this.#hasPlace) return false
      emit(this.#call, { type: 'waiting' })
    }
    await pause(this.#context, id, Math.min(this.#pauseMs, leftMs), signal)
    this.#pauseMs = Math.min(this.#pauseMs * 2, limits.pollMsMax)
    return true
  }

  /** Gives its place back. */
  end(): void {
    if (this.#hasPlace) this.#context.flights.leave()
  }
}

/** Waits for a change of the operation where the store tells, and at most for the pause. */
export async function pause(
  { calls, platform }: Pick<ExecutionContext, 'calls' | 'platform'>,
  id: string,
  pauseMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted()
  const over = new AbortController()
  const abort = (): void => over.abort()
  signal?.addEventListener('abort', abort, { once: true })
  const cancel = platform.timer(pauseMs, abort)
  const ended = aborted(over.signal)
  try {
    // A store that tells of changes all the time is not asked more often than one that has to be polled.
    await Promise.race([ended, Promise.all([changed(calls.store, id, over.signal), calls.sleep(limits.pollMs)])])
  } finally {
    cancel()
    signal?.removeEventListener('abort', abort)
    over.abort()
  }
  signal?.throwIfAborted()
}

/** Resolves when the operation may have changed; never where the store cannot watch, or cannot at the moment. */
async function changed(store: Store, id: string, signal: AbortSignal): Promise<void> {
  try {
    if (store.watch !== undefined) return await store.watch([id], signal)
  } catch {
    // The claim that follows the pause tells what is wrong with the store.
  }
  return new Promise(() => {})
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
