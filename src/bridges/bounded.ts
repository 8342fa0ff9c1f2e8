import { TransactionTimeoutError } from '../core/errors.ts'
import type { Handle } from '../core/handle.ts'

/**
 * Runs the work of a transaction on its handle, which fails once the work has ended, or its time is up: what the library then still sends is
 * its own commit or rollback.
 */
export async function bounded<Tx, Value>(
  handle: Handle<Tx>,
  work: (tx: Tx) => Promise<Value>,
  transactionMs: number,
): Promise<Value> {
  let timeout: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timeout = setTimeout(() => reject(new TransactionTimeoutError(transactionMs)), transactionMs)
  })
  try {
    return await Promise.race([work(handle.tx), late])
  } finally {
    handle.end()
    clearTimeout(timeout)
  }
}
