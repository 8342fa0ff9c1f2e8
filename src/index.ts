import { Onceward } from './engine/onceward.ts'
import { systemPlatform } from './platform.ts'
import type { AtomicOnce, Once } from './engine/once.ts'
import type { AtomicStore } from './core/store.ts'
import type { Bridge } from './core/bridge.ts'
import type { OncewardOptions } from './engine/options.ts'

/**
 * Makes operations happen once: `onceward({ store: sqlite('onceward.db') })`. The store is opened at the first call, or by `open()`.
 * @throws OptionsError that names the option and what is allowed
 */
export function onceward<Tx>(options: OncewardOptions<Tx> & { readonly transactions: Bridge<Tx> }): AtomicOnce<Tx>
export function onceward<Tx>(options: OncewardOptions & { readonly store: AtomicStore<Tx> }): AtomicOnce<Tx>
export function onceward(options: OncewardOptions): Once
export function onceward<Tx>(options: OncewardOptions<Tx>): AtomicOnce<Tx> {
  return new Onceward(options, systemPlatform)
}

export {
  AttemptEndedError,
  AttemptTimeoutError,
  BusyError,
  ClosedError,
  ExpiredError,
  HeldError,
  InputError,
  LeaseLostError,
  MismatchError,
  NestedRunError,
  OncewardError,
  OptionsError,
  OutcomeNotKeptError,
  Refusal,
  StoreDataError,
  StoreFullError,
  StoreOpenError,
  StoreUnavailableError,
  TransactionTimeoutError,
  UncertainError,
  isOncewardError,
  isRefusal,
  refusal,
} from './core/errors.ts'
export { decodeOutcome } from './core/outcome.ts'
export { limits } from './core/limits.ts'
export type { AsyncContext, Platform } from './engine/platform.ts'
export type {
  AtomicOnce,
  Attempt,
  DefinedOperation,
  Ending,
  ExecuteRequest,
  ExecuteResult,
  Once,
  OperationOptions,
  Peek,
  Reservation,
  ReserveRequest,
  ResolveAs,
  RunRequest,
  StepOptions,
  StepRun,
  TransactionAttempt,
  TryResult,
} from './engine/once.ts'
export type { Bridge, TransactionBounds } from './core/bridge.ts'
export type { Claim, ClaimResult, Fence, SettleResult, Settlement } from './core/transitions.ts'
export type { Duration } from './core/duration.ts'
export type { EffectiveState, OperationRecord, Outcome, RecordState, Resolution, Step } from './core/record.ts'
export type { ErrorCode } from './core/errors.ts'
export type {
  AtomicStore,
  Guarantee,
  RecordFilter,
  RecordPage,
  RecordView,
  Store,
  TransactionEnding,
  TransactionRequest,
  TransactionResult,
} from './core/store.ts'
export type { InterruptedPolicy, InterruptedRule, InterruptionCause, Policy } from './core/policy.ts'
export type { Limits } from './core/limits.ts'
export type { OncewardEvent, OncewardListener } from './engine/events.ts'
export type { OncewardOptions } from './engine/options.ts'
export type { Operation, Sha256 } from './core/operation.ts'
