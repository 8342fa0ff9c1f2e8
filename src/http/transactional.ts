import { InputError, StoreUnavailableError } from '../core/errors.ts'
import { decodeAnswer } from './answer.ts'
import type { AtomicOnce, Attempt, Ending, Once } from '../engine/once.ts'
import type { TransactionEnding } from '../core/store.ts'

/**
 * Executes each handler in a transaction of the store: what it answers with 2xx or 3xx is committed with the record, with 4xx rolled back
 * and remembered, with anything that is not stored rolled back and forgotten.
 */
export function transactional(once: Pick<AtomicOnce<unknown>, 'executeTransaction'>): Once['execute'] {
  return (request, work) => {
    let hasRun = false
    return once.executeTransaction(request, async ({ number }) => {
      // It has answered already: the same response cannot be answered again.
      if (hasRun) throw rolledBack()
      hasRun = true
      return endingOf(await work(attemptIn(number)))
    })
  }
}

/** The error of an answer that does not come in one piece: a part of it would be out before its effects are committed. */
export function streamRefused(): Error {
  return new TypeError(
    'an answer within a transaction is sent once its effects are committed: give it in one piece, not as a stream',
  )
}

function endingOf(ending: Ending): TransactionEnding {
  if (ending.state !== 'complete') return { state: 'forget' }
  const { outcome } = ending
  const status = decodeAnswer(outcome)?.status ?? 500
  return { state: status < 400 ? 'commit' : 'refuse', outcome }
}

function rolledBack(): StoreUnavailableError {
  return new StoreUnavailableError(
    new Error('the database rolled the transaction back because of others'),
    'nothing was committed: ask again with the same key',
  )
}

/** A transaction has no lease to lose, and no parts: it is all or nothing. */
function attemptIn(number: number): Attempt {
  const { signal } = new AbortController()
  const step = (name: string): Promise<never> =>
    Promise.reject(new InputError(`the step '${name}' was not done: a transaction is committed as a whole, and has no steps`))
  return { number, signal, step }
}
