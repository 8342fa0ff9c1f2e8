import { durationMs } from '../core/duration.ts'
import { limits } from '../core/limits.ts'
import { InputError, LeaseLostError, StoreUnavailableError } from '../core/errors.ts'
import { encodeValue, outcomeBytes } from '../core/outcome.ts'
import type { ReserveRequest } from './once.ts'
import type { Fence, SettleResult, Settlement } from '../core/transitions.ts'

/** The token of a reservation: what its holder is known by, wherever it travels. Who has it can commit, so that it is kept like a key. */
export function tokenOf({ id, attempt, owner }: Fence): string {
  return `or1.${id}.${attempt}.${owner}`
}

/** @throws InputError for anything but a token */
export function fenceOf(token: unknown): Fence {
  const [, id, attempt, owner] =
    (typeof token === 'string' && /^or1\.([0-9a-f]{64})\.(\d{1,9})\.([^.]{1,255})$/.exec(token)) || []
  if (id === undefined || attempt === undefined || owner === undefined)
    throw new InputError('this is no token of a reservation; nothing was recorded: give what once.reserve() gave')
  return { id, attempt: Number(attempt), owner }
}

/** The settlement by which a reservation is committed. @throws InputError for a value that cannot be kept */
export function commitment(token: string, value: unknown, bytesMax: number): Settlement {
  const fence = fenceOf(token)
  const outcome = encodeValue(value)
  if (!outcome.kept)
    throw new InputError('the outcome cannot be serialised, and was not recorded: commit plain JSON values or bytes')
  const bytes = outcomeBytes(outcome)
  if (bytes > bytesMax)
    throw new InputError(`the outcome takes ${bytes} bytes, at most ${bytesMax} are kept, and was not recorded: commit less`)
  return { ...fence, kind: 'complete', outcome }
}

/** @throws LeaseLostError when the reservation is somebody else's by now; StoreUnavailableError when nobody knows */
export function checkSettled(result: SettleResult | 'unknown'): void {
  if (result === 'ok') return
  if (result === 'stale') throw new LeaseLostError('the reservation lapsed, or was given back, and nothing was recorded now')
  const cause = new Error('the store gave no answer')
  throw new StoreUnavailableError(
    cause,
    'whether it was recorded is unknown, and it may be recorded still: do the same again with the same token',
  )
}

/** How long a reservation is to stand. Milliseconds. */
export function holdMsOf({ hold = limits.holdMs }: ReserveRequest): number {
  return durationMs('hold', hold, { min: 1 })
}
