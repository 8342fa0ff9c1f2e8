import { limits } from '../core/limits.ts'
import { StoreUnavailableError, isOncewardError } from '../core/errors.ts'
import { Waiting } from './waiting.ts'
import { claimOf, fitted, fly, land, tell, withoutRunning } from './execution.ts'
import type { Call, ExecutionContext } from './context.ts'
import type { AtomicStore, TransactionEnding, TransactionResult } from '../core/store.ts'
import type { Bridge } from '../core/bridge.ts'
import type { ExecuteResult, TransactionAttempt } from './once.ts'
import type { Flight } from './flights.ts'

/** What transactions need of the engine, besides what every execution needs. */
export interface TransactionContext<Tx> extends ExecutionContext {
  readonly store: AtomicStore<unknown>
  readonly bridge: Bridge<Tx>
  readonly transactionMs: number
}

/** Runs within the transaction. */
export type TransactionWork<Tx> = (attempt: TransactionAttempt<Tx>) => Promise<TransactionEnding>

/** Runs the call's work in a transaction that also stores its outcome, or finds out what the operation ended with. */
export function transact<Tx>(context: TransactionContext<Tx>, call: Call, work: TransactionWork<Tx>): Promise<ExecuteResult> {
  return fly(context, call, (flight) => new Transacting(context, call, { flight, work }).lead())
}

/** What one try of the transaction came to, as far as this process knows. */
interface Tried {
  readonly result: TransactionResult | undefined
  /** What was to be committed. */
  readonly ending: TransactionEnding | undefined
  /** What the store failed with; whether it committed is unknown. */
  readonly error: unknown
}

/** One call that leads its flight in a transaction. */
class Transacting<Tx> {
  readonly #context: TransactionContext<Tx>
  readonly #call: Call
  readonly #flight: Flight
  readonly #work: TransactionWork<Tx>
  /** A commit whose answer did not come: an outcome that is found after it is this call's own. */
  #isAmbiguous = false
  /** Of the newest try whose work began. */
  #attempt = 1

  constructor(
    context: TransactionContext<Tx>,
    call: Call,
    { flight, work }: { readonly flight: Flight; readonly work: TransactionWork<Tx> },
  ) {
    this.#context = context
    this.#call = call
    this.#flight = flight
    this.#work = work
  }

  /** Leads the flight to its end: whatever happens, its followers are told, or one of them leads on. */
  async lead(): Promise<ExecuteResult> {
    const waiting = new Waiting(this.#context, this.#call, this.#flight)
    try {
      return land(this.#flight, await this.#untilKnown(waiting))
    } catch (error) {
      if (error instanceof StoreUnavailableError && this.#isUnavailable) this.#flight.failed(error)
      else this.#flight.handOver()
      throw error
    } finally {
      waiting.end()
    }
  }

  /** The store itself could not be reached: what is thrown is not the handler's. */
  #isUnavailable = false

  async #untilKnown(waiting: Waiting): Promise<ExecuteResult> {
    const claim = claimOf(this.#context, this.#call)
    for (let tries = 1; ; tries += 1) {
      const { result, ending, error } = await this.#tryOnce(claim)
      if (result === undefined || result.state === 'conflict') {
        if (result === undefined) this.#isAmbiguous = true
        if (tries >= limits.transactionTriesMax) throw this.#unavailable(error)
        await this.#context.calls.sleep(
          Math.min(limits.retryMs * 2 ** tries, limits.retryMsMax) * this.#context.platform.random(),
        )
      } else if (result.state !== 'busy' || !(await waiting.next())) return this.#ended(result, ending)
      this.#call.signal?.throwIfAborted()
    }
  }

  #unavailable(error: unknown): StoreUnavailableError {
    this.#isUnavailable = true
    const cause = error ?? new Error(`${limits.transactionTriesMax} transactions in a row were rolled back by the database`)
    const unknown = 'whether the operation was committed is unknown, and it cannot be twice: ask again with the same key'
    return new StoreUnavailableError(cause, error === undefined ? 'nothing was committed: ask again with the same key' : unknown)
  }

  #ended(result: Exclude<TransactionResult, { state: 'conflict' }>, ending: TransactionEnding | undefined): ExecuteResult {
    if (result.state === 'forgotten') return { state: 'interrupted' }
    if (result.state === 'committed') {
      if (ending === undefined || ending.state === 'forget') throw new Error('a transaction was committed without an outcome')
      this.#context.emit(this.#call, { type: 'completed', attempt: this.#attempt, kept: ending.outcome.kept })
      return { state: 'completed', outcome: ending.outcome, replayed: false, settled: true }
    }
    if (result.state === 'completed' && this.#isAmbiguous) return { ...result, replayed: false, settled: true }
    const found = withoutRunning(result)
    tell(this.#context, this.#call, found)
    return found
  }

  /** What the handler throws is thrown; its effects are rolled back by then. */
  async #tryOnce(claim: ReturnType<typeof claimOf>): Promise<Tried> {
    const { calls, store, bridge, transactionMs } = this.#context
    let ending: TransactionEnding | undefined
    let thrown: { readonly error: unknown } | undefined
    const work = async (tx: Tx, number: number): Promise<TransactionEnding> => {
      try {
        ending = fittedEnding(await this.#run(tx, number), this.#context.outcomeBytesMax)
        return ending
      } catch (error) {
        thrown = { error }
        throw error
      }
    }
    // What the handler throws is no failure of the store.
    const make = async (): Promise<TransactionResult | undefined> => {
      try {
        return await store.transaction({ claim, bridge, work, transactionMs })
      } catch (error) {
        // What the library's own errors say is definite: nothing was committed.
        if (isOncewardError(error)) thrown ??= { error }
        if (thrown === undefined) throw error
        return undefined
      }
    }
    try {
      const result = await calls.call('transaction', make, transactionMs)
      // A conflict that the handler threw on, as its own statement met it, is one all the same.
      if (thrown === undefined || result?.state === 'conflict') return { result, ending, error: undefined }
    } catch (error) {
      return { result: undefined, ending, error }
    }
    this.#context.emit(this.#call, { type: 'interrupted', attempt: this.#attempt, cause: 'thrown', error: thrown.error })
    throw thrown.error
  }

  #run(tx: Tx, number: number): Promise<TransactionEnding> {
    this.#attempt = number
    this.#flight.nowRunning()
    this.#context.emit(this.#call, { type: 'claimed', attempt: number })
    const { inside } = this.#context
    const transaction: TransactionAttempt<Tx> = { tx, number }
    const here = { operationId: this.#call.id, isRunning: true, outer: inside.getStore(), transaction }
    return inside.run(here, async () => {
      try {
        return await this.#work(transaction)
      } finally {
        here.isRunning = false
      }
    })
  }
}

function fittedEnding(ending: TransactionEnding, bytesMax: number): TransactionEnding {
  return ending.state === 'forget' ? ending : { ...ending, outcome: fitted(ending.outcome, bytesMax) }
}
