import type { Guarantee, TransactionEnding } from '../core/store.ts'
import type { InterruptionCause, InterruptedPolicy, InterruptedRule } from '../core/policy.ts'
import type { Duration } from '../core/duration.ts'
import type { Operation, Sha256 } from '../core/operation.ts'
import type { Outcome, Resolution } from '../core/record.ts'
import type { Refusal } from '../core/errors.ts'

/** What a handler is told of the attempt it is. */
export interface Attempt {
  /** 1 for the first; greater when an earlier attempt was cut short, whose effects may have happened. */
  readonly number: number
  /** Aborts when the lease is lost or can no longer be confirmed: another attempt may be running. */
  readonly signal: AbortSignal
  /**
   * Does a part of the operation, and records what it came to under its name, so that the next attempt gets that instead of doing it again.
   * A crash between the effect and the record leaves the step to be done once more, by default: give `key` to a provider that takes an
   * idempotency key, or set `uncertain`. A refusal thrown by the work is recorded as well; any other error interrupts.
   * @param name 1 to 255 characters, another one for each step of the handler
   * @param work its value is recorded as JSON or bytes, at most 64 KiB
   * @throws UncertainError, LeaseLostError, InputError, AttemptEndedError, and what the work throws
   */
  step<Value>(name: string, work: (run: StepRun) => Promise<Value> | Value, options?: StepOptions<Value>): Promise<Value>
}

/** What the work of a step is told. */
export interface StepRun {
  /**
   * 64 hexadecimal digits for the provider's idempotency key: a digest of the operation and the step, the same for every attempt and in
   * every process; another one once the operation has expired, or was resolved as absent, and runs anew.
   */
  readonly key: string
  /** The attempt's. */
  readonly signal: AbortSignal
}

/** What may be said of a step. */
export interface StepOptions<Value> {
  /**
   * What becomes of a step that was begun and whose end is unknown: the next attempt does it again, or the operation is held until
   * somebody resolves it. `hold` costs one more commit, before the step. @default 'retry'
   */
  readonly uncertain?: 'retry' | 'hold'
  /**
   * Takes the step's effect back, should the operation end with a refusal; it has a key of its own. It may be done twice, when the
   * process dies behind it.
   */
  readonly undo?: (value: Value, run: StepRun) => Promise<void> | void
}

/** What the handler of a transaction is told. */
export interface TransactionAttempt<Tx> {
  /** The transaction: what is done on it is committed with the operation's outcome, or not at all. It fails once the handler has ended. */
  readonly tx: Tx
  /** The attempt's number: 1, unless earlier attempts outside of a transaction were cut short. */
  readonly number: number
}

/** What one call may set for its operation; all of it but `wait` and `signal` is stored at the operation's first claim. */
export interface OperationOptions {
  /** How long the outcome is kept, counted from completion. @default '24h' */
  readonly ttl?: Duration
  /** How long after the ttl a repeat is told that the outcome has expired. @default 0 */
  readonly remember?: Duration
  /** What becomes of an attempt that ended without an outcome; one word sets all causes. @default 'retry' */
  readonly interrupted?: InterruptedRule | Partial<InterruptedPolicy>
  /** Attempts after which an interrupted operation is held. @default 10 */
  readonly attemptsMax?: number
  /** How long a duplicate waits while the operation is running; 0 does not wait. @default '10s' */
  readonly wait?: Duration
  /** The caller's: when it aborts, waiting ends and the call rejects with its reason. A running handler is not interrupted. */
  readonly signal?: AbortSignal
}

/** One call of `run` or `try`. */
export interface RunRequest extends Operation, OperationOptions {
  /**
   * What the operation is asked to do, to tell a retry from a reuse of the key: plain JSON values, bytes, bigint, dates.
   * Left out, every use of the key counts as the same input.
   */
  readonly input?: unknown
}

/** What became of a call, as a value. Any state but `completed` and `refused` means that this call ran nothing. */
export type TryResult<Value> =
  /** The operation's value; `replayed` when an earlier call, or another one at the same time, ran it. */
  | { readonly state: 'completed'; readonly value: Value; readonly replayed: boolean }
  /** The operation ended with a refusal. */
  | { readonly state: 'refused'; readonly refusal: Refusal; readonly replayed: boolean }
  /** Completed, but its outcome was too large or could not be serialised, so that it cannot be replayed. */
  | { readonly state: 'not_kept' }
  /** Still running elsewhere after the wait. `attempted`: this call ran the handler, but lost its lease to another attempt. */
  | { readonly state: 'busy'; readonly retryAfterMs: number; readonly attempted: boolean }
  /** The key was used before with another input. */
  | { readonly state: 'mismatch' }
  /** An earlier attempt ended without an outcome; nobody may run it until someone resolves it. */
  | { readonly state: 'held'; readonly attempt: number; readonly cause: InterruptionCause }
  /** It ran, and its outcome is no longer kept. */
  | { readonly state: 'expired' }

/** A call in the engine's own terms, as doors make it: the input already fingerprinted. */
export interface ExecuteRequest extends Operation, OperationOptions {
  /** SHA-256 of the input, 64 hexadecimal digits. */
  readonly fingerprint: string
}

/**
 * How an execution ended: with an outcome to keep, with an answer that is not to be kept, or before anything was done, so that the attempt
 * does not count. A throw interrupts as `thrown`.
 */
export type Ending =
  { readonly state: 'complete'; readonly outcome: Outcome } | { readonly state: 'interrupt' } | { readonly state: 'release' }

/** What became of an execution, in bytes. */
export type ExecuteResult =
  /** `replayed`: the outcome is not this call's own. `settled` false: this call's own, but the store did not confirm it in time. */
  | { readonly state: 'completed'; readonly outcome: Outcome; readonly replayed: boolean; readonly settled: boolean }
  /** This call's own execution ended without an outcome to keep, or did nothing. */
  | { readonly state: 'interrupted' }
  | Exclude<TryResult<never>, { state: 'completed' | 'refused' | 'not_kept' }>

/** What is known of an operation. */
export type Peek =
  | { readonly state: 'absent' }
  | { readonly state: 'running'; readonly attempt: number }
  | { readonly state: 'interrupted' | 'held'; readonly attempt: number; readonly cause: InterruptionCause }
  | { readonly state: 'completed'; readonly attempt: number; readonly outcome: Outcome; readonly resolution: Resolution | null }
  | { readonly state: 'expired' }

/** An operator's decision on a held operation: it ended with this value, or it did not take effect. */
export type ResolveAs = { readonly outcome: unknown } | 'absent'

/** A defined operation: called with its scope, key and input, it gives its value, and whether that was a replay. */
export type DefinedOperation<Input, Value> = (
  call: Pick<Operation, 'scope' | 'key'> & Pick<OperationOptions, 'signal' | 'wait'>,
  input: Input,
) => Promise<{ readonly value: Value; readonly replayed: boolean }>

/** An engine whose store can commit an operation's effects and its record together. */
export interface AtomicOnce<Tx> extends Once {
  /**
   * Runs the operation in one transaction, which also stores its outcome: both are committed, or neither, whatever crashes. A refusal rolls
   * the effects back and is kept; any other throw rolls them back and is forgotten. The handler runs again where the database rolls the
   * transaction back because of others, so that nothing in it may have an effect outside of `tx`.
   * @throws as `run`; TransactionTimeoutError when it took longer than `transactionTimeout`; StoreUnavailableError when the database did not
   * say whether it was committed: ask again with the same key
   */
  transaction<Value>(request: RunRequest, work: (attempt: TransactionAttempt<Tx>) => Promise<Value> | Value): Promise<Value>
  /** As `transaction`, with what became of the call as a value. */
  tryTransaction<Value>(
    request: RunRequest,
    work: (attempt: TransactionAttempt<Tx>) => Promise<Value> | Value,
  ): Promise<TryResult<Value>>
  /** As `tryTransaction`, in bytes: for doors. */
  executeTransaction(
    request: ExecuteRequest,
    work: (attempt: TransactionAttempt<Tx>) => Promise<TransactionEnding>,
  ): Promise<ExecuteResult>
  /** The transaction that the calling code runs in, however deep below the handler; undefined outside of one. */
  current(): TransactionAttempt<Tx> | undefined
}

/** What may be said of a reservation. */
export interface ReserveRequest extends RunRequest {
  /** How long it stands without a commit; then somebody else may have it, and a commit that comes later is refused if they do. @default '15m' */
  readonly hold?: Duration
}

/** A reservation: the operation is its holder's, who does the work elsewhere and says later what it came to. */
export interface Reservation {
  readonly state: 'reserved'
  /** Travels to whoever commits: a job, a webhook that comes back. Who has it can commit; keep it as you would a key. */
  readonly token: string
  /** As `once.commit`. */
  commit(value: unknown): Promise<void>
  /** As `once.release`. */
  release(): Promise<void>
}

/** Makes operations happen once. */
export interface Once {
  /** What the store promises; final once `open` has resolved. */
  readonly guarantee: Guarantee
  /** The digest in use, for doors. */
  readonly sha256: Sha256
  /** How long a duplicate waits where its call does not say, for doors whose callers may shorten it. Milliseconds. */
  readonly waitMs: number
  /** Opens the store now rather than at the first call, to see an error at start. @throws StoreOpenError */
  open(): Promise<void>
  /**
   * Runs the operation, or gives back what it ended with.
   * @throws BusyError, MismatchError, HeldError, ExpiredError, OutcomeNotKeptError: this call ran nothing
   * @throws Refusal when the operation ended with one
   * @throws StoreUnavailableError, InputError, NestedRunError, ClosedError: nothing ran
   * @throws AttemptTimeoutError and whatever the handler throws: the attempt is interrupted
   */
  run<Value>(request: RunRequest, work: (attempt: Attempt) => Promise<Value> | Value): Promise<Value>
  /** As `run`, with what became of the call as a value. Throws what is not a state of the operation. */
  try<Value>(request: RunRequest, work: (attempt: Attempt) => Promise<Value> | Value): Promise<TryResult<Value>>
  /** As `try`, in bytes: for doors. */
  execute(request: ExecuteRequest, work: (attempt: Attempt) => Promise<Ending>): Promise<ExecuteResult>
  /** Defines an operation by name, with its handler. */
  operation<Input, Value>(
    name: string,
    handler: (attempt: Attempt, input: Input) => Promise<Value> | Value,
  ): DefinedOperation<Input, Value>
  operation<Input, Value>(
    name: string,
    options: Omit<OperationOptions, 'signal'>,
    handler: (attempt: Attempt, input: Input) => Promise<Value> | Value,
  ): DefinedOperation<Input, Value>
  /**
   * Reserves the operation for work that is done elsewhere; nothing runs. What is no reservation is what the operation is already, as
   * `try` has it; a busy one is not waited for, unless `wait` says so.
   * @throws StoreUnavailableError, InputError, ClosedError: nothing is reserved
   */
  reserve<Value>(request: ReserveRequest): Promise<Reservation | TryResult<Value>>
  /**
   * Records what a reserved operation came to, by the reservation's token, from any process. Again with the same token it is accepted.
   * @throws LeaseLostError when somebody else has the operation by now, or it was given back; InputError; StoreUnavailableError when nobody
   * knows whether it was recorded: commit again
   */
  commit(token: string, value: unknown): Promise<void>
  /** Gives a reservation back whose work did not begin. @throws as `commit` */
  release(token: string): Promise<void>
  /** What is known of an operation, without claiming it. */
  peek(operation: Operation): Promise<Peek>
  /** Decides a held operation; false when there is none. The actor and the reason are kept with it. */
  resolve(operation: Operation, as: ResolveAs, resolution: Resolution): Promise<boolean>
  /**
   * Refuses new calls, lets running handlers end and their settlements be accepted, then closes the store. While the store is away it gives
   * up after 10 s what is still being tried behind answered callers: an outcome among it is then not recorded.
   */
  close(): Promise<void>
}
