import { BusyError, ExpiredError, HeldError, MismatchError, OutcomeNotKeptError, isRefusal } from '../core/errors.ts'
import { decodeOutcome, encodeRefusal, encodeValue } from '../core/outcome.ts'
import type { Attempt, Ending, ExecuteResult, TransactionAttempt, TryResult } from './once.ts'
import type { TransactionEnding } from '../core/store.ts'
import type { LeasedAttempt } from './leases.ts'

/** Runs work that gives a value by way of an execution in bytes, and decodes what became of it: alike for the first caller and for replays. */
export async function tried<Value>(
  work: (attempt: Attempt) => Promise<Value> | Value,
  execute: (work: (attempt: LeasedAttempt) => Promise<Ending>) => Promise<ExecuteResult>,
): Promise<TryResult<Value>> {
  let own: TryResult<Value> | undefined
  const result = await execute(async (attempt) => {
    try {
      const value = await work(attempt)
      own = { state: 'completed', value, replayed: false }
      return { state: 'complete', outcome: encodeValue(value) }
    } catch (error) {
      if (!isRefusal(error)) throw error
      await attempt.undo(error)
      own = { state: 'refused', refusal: error, replayed: false }
      return { state: 'complete', outcome: encodeRefusal(error) }
    }
  })
  return resultOf(result, own)
}

/** As above, by way of a transaction: a refusal takes its effects back. */
export async function triedTransaction<Value, Tx>(
  work: (attempt: TransactionAttempt<Tx>) => Promise<Value> | Value,
  execute: (work: (attempt: TransactionAttempt<Tx>) => Promise<TransactionEnding>) => Promise<ExecuteResult>,
): Promise<TryResult<Value>> {
  let own: TryResult<Value> | undefined
  const result = await execute(async (attempt) => {
    try {
      const value = await work(attempt)
      own = { state: 'completed', value, replayed: false }
      return { state: 'commit', outcome: encodeValue(value) }
    } catch (error) {
      if (!isRefusal(error)) throw error
      own = { state: 'refused', refusal: error, replayed: false }
      return { state: 'refuse', outcome: encodeRefusal(error) }
    }
  })
  return resultOf(result, own)
}

/** A completed result; any other is thrown as its error. */
export function thrownUnlessCompleted<Value>(result: TryResult<Value>): Extract<TryResult<Value>, { state: 'completed' }> {
  switch (result.state) {
    case 'completed':
      return result
    case 'refused':
      throw result.refusal
    case 'not_kept':
      throw new OutcomeNotKeptError()
    case 'busy':
      throw new BusyError(result.retryAfterMs, result.attempted)
    case 'mismatch':
      throw new MismatchError()
    case 'held':
      throw new HeldError(result.attempt, result.cause)
    case 'expired':
      throw new ExpiredError()
  }
}

/** What a caller of values is given; `own` is what its own work came to. */
export function resultOf<Value>(result: ExecuteResult, own: TryResult<Value> | undefined): TryResult<Value> {
  if (result.state === 'interrupted') throw new Error('an execution of values does not end without an outcome')
  if (result.state !== 'completed') return result
  // What cannot be replayed is handed to its own caller as it is: it is the only one who ever gets it.
  if (!result.outcome.kept && !result.replayed && own !== undefined) return own
  return decoded(result)
}

function decoded<Value>({ outcome, replayed }: Extract<ExecuteResult, { state: 'completed' }>): TryResult<Value> {
  const found = decodeOutcome(outcome)
  switch (found.state) {
    case 'value':
      // The store's bytes are what a handler of this operation returned: its type is the caller's word, as with JSON.parse.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return { state: 'completed', value: found.value as Value, replayed }
    case 'refusal':
      return { state: 'refused', refusal: found.refusal, replayed }
    case 'not_kept':
      return { state: 'not_kept' }
  }
}
