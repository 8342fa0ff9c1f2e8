import { canonicalValue } from '../core/canonical-value.ts'
import { ClosedError, StoreUnavailableError, isOncewardError } from '../core/errors.ts'
import { fingerprint } from '../core/fingerprint.ts'
import { checkOperation, operationId, type Operation, type Sha256 } from '../core/operation.ts'
import { checkResolution, decidedOutcome } from './resolution.ts'
import { define } from './define.ts'
import type { Call, CallEvent, ExecutionContext } from './context.ts'
import { Flights } from './flights.ts'
import { Leases, type Inside, type LeasedAttempt } from './leases.ts'
import { transact, type TransactionContext, type TransactionWork } from './transactions.ts'
import { checkSettled, commitment, fenceOf, holdMsOf } from './reservations.ts'
import { claimAlone, execute } from './execution.ts'
import { isAtomic, notAtomic, operationSettings, settingsOf, type OncewardOptions, type Settings } from './options.ts'
import { peekAt } from './peek.ts'
import { StoreCalls } from './store-calls.ts'
import { Sweeper } from './sweeper.ts'
import { resultOf, thrownUnlessCompleted, tried, triedTransaction } from './values.ts'
import type {
  AtomicOnce,
  Attempt,
  DefinedOperation,
  Ending,
  ExecuteRequest,
  ExecuteResult,
  OperationOptions,
  Peek,
  Reservation,
  ReserveRequest,
  ResolveAs,
  RunRequest,
  TransactionAttempt,
  TryResult,
} from './once.ts'
import type { Bridge } from '../core/bridge.ts'
import type { Guarantee } from '../core/store.ts'
import type { OncewardEvent } from './events.ts'
import type { Platform } from './platform.ts'
import type { Resolution } from '../core/record.ts'

/** The engine: claims, renews, waits and settles on behalf of its callers. */
export class Onceward<Tx> implements AtomicOnce<Tx> {
  readonly sha256: Sha256
  readonly #settings: Settings<Tx>
  readonly #platform: Platform
  readonly #calls: StoreCalls
  readonly #context: ExecutionContext
  readonly #sweeper: Sweeper
  #running = 0
  #whenIdle: (() => void) | undefined
  readonly #noInput: string
  #closing: Promise<void> | undefined

  constructor(options: OncewardOptions<Tx>, system: Platform) {
    const settings = settingsOf(options, system)
    const { store, platform, storeTimeoutMs, leaseMs, attemptMs, waitersMax, outcomeBytesMax } = settings
    this.#settings = settings
    this.#platform = platform
    this.sha256 = platform.sha256
    this.#noInput = fingerprint([], platform.sha256)
    const calls = new StoreCalls({ store, platform, storeTimeoutMs, emit: this.#emit, opened: () => this.#checkBridge() })
    this.#calls = calls
    this.#context = {
      calls,
      leases: new Leases({
        platform,
        leaseMs,
        attemptMs,
        renew: (fence) => calls.renew({ ...fence, kind: 'renew', leaseMs }),
        settle: (settlement) => calls.settle(settlement, () => {}),
      }),
      flights: new Flights(platform, waitersMax),
      platform,
      inside: platform.asyncContext<Inside>(),
      leaseMs,
      outcomeBytesMax,
      emit: this.#emitAbout,
    }
    this.#sweeper = new Sweeper(calls, platform)
  }

  get waitMs(): number {
    return this.#settings.operation.waitMs
  }

  get guarantee(): Guarantee {
    return this.#settings.store.guarantee
  }

  async open(): Promise<void> {
    this.#checkOpen()
    await this.#calls.open()
    this.#sweeper.start()
  }

  async run<Value>(request: RunRequest, work: (attempt: Attempt) => Promise<Value> | Value): Promise<Value> {
    return thrownUnlessCompleted(await this.try(request, work)).value
  }

  try<Value>(request: RunRequest, work: (attempt: Attempt) => Promise<Value> | Value): Promise<TryResult<Value>> {
    return tried(work, (encoding) => this.#execute(request, encoding, () => this.#fingerprintOf(request.input)))
  }

  execute(request: ExecuteRequest, work: (attempt: Attempt) => Promise<Ending>): Promise<ExecuteResult> {
    return this.#execute(request, work, () => request.fingerprint)
  }

  async transaction<Value>(
    request: RunRequest,
    work: (attempt: TransactionAttempt<Tx>) => Promise<Value> | Value,
  ): Promise<Value> {
    return thrownUnlessCompleted(await this.tryTransaction(request, work)).value
  }

  tryTransaction<Value>(
    request: RunRequest,
    work: (attempt: TransactionAttempt<Tx>) => Promise<Value> | Value,
  ): Promise<TryResult<Value>> {
    return triedTransaction<Value, Tx>(work, (encoding) =>
      this.#transact(request, encoding, () => this.#fingerprintOf(request.input)),
    )
  }

  executeTransaction(request: ExecuteRequest, work: TransactionWork<Tx>): Promise<ExecuteResult> {
    return this.#transact(request, work, () => request.fingerprint)
  }

  current(): TransactionAttempt<Tx> | undefined {
    for (let here = this.#context.inside.getStore(); here !== undefined; here = here.outer)
      // Every transaction of this engine is one of its bridge's.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      if (here.isRunning && here.transaction !== undefined) return here.transaction as TransactionAttempt<Tx>
    return undefined
  }

  operation<Input, Value>(
    name: string,
    ...rest:
      | [handler: (attempt: Attempt, input: Input) => Promise<Value> | Value]
      | [options: Omit<OperationOptions, 'signal'>, handler: (attempt: Attempt, input: Input) => Promise<Value> | Value]
  ): DefinedOperation<Input, Value> {
    const [options, handler] = rest.length === 1 ? [{}, rest[0]] : rest
    operationSettings(options, this.#settings.operation)
    return define(this, { name, options, handler })
  }

  async reserve<Value>(request: ReserveRequest): Promise<Reservation | TryResult<Value>> {
    this.#checkOpen()
    const call = this.#call({ wait: 0, ...request }, () => this.#fingerprintOf(request.input))
    const found = await claimAlone(this.#context, call, holdMsOf(request))
    if (found.state !== 'reserved') return resultOf<Value>(found, undefined)
    const { token } = found
    return { ...found, commit: (value) => this.commit(token, value), release: () => this.release(token) }
  }

  async commit(token: string, value: unknown): Promise<void> {
    this.#checkOpen()
    checkSettled(await this.#calls.settle(commitment(token, value, this.#settings.outcomeBytesMax), () => {}))
  }

  async release(token: string): Promise<void> {
    this.#checkOpen()
    const { id, owner } = fenceOf(token)
    checkSettled(await this.#calls.settle({ kind: 'release', id, owner }, () => {}))
  }

  async peek(operation: Operation): Promise<Peek> {
    this.#checkOpen()
    const id = this.#idOf(operation)
    const [view] = await this.#calls
      .call('find', () => this.#calls.store.find([id]))
      .catch(unavailable('nothing was changed: look again when the store is back'))
    return peekAt(view ?? null)
  }

  async resolve(operation: Operation, as: ResolveAs, resolution: Resolution): Promise<boolean> {
    this.#checkOpen()
    const id = this.#idOf(operation)
    checkResolution(resolution)
    const outcome = decidedOutcome(as, this.#settings.outcomeBytesMax)
    const [result] = await this.#calls
      .call('resolve', () => this.#calls.store.settle([{ kind: 'resolve', id, outcome, resolution }]))
      .catch(unavailable('whether the operation was resolved is unknown: peek at it when the store is back'))
    if (result === 'ok' && this.#settings.onEvent !== undefined) {
      const { actor, reason } = resolution
      this.#emit({ type: 'resolved', ...this.#aboutOperation(operation), durationMs: 0, actor, reason })
    }
    return result === 'ok'
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError()
  }

  async #close(): Promise<void> {
    this.#sweeper.stop()
    await this.#idle()
    await this.#calls.drain()
    await this.#calls.close()
  }

  #idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#whenIdle = resolve
    })
  }

  #execute(
    request: Operation & OperationOptions,
    work: (attempt: LeasedAttempt) => Promise<Ending>,
    fingerprintOf: () => string,
  ): Promise<ExecuteResult> {
    return this.#begin(request, fingerprintOf, (call) => execute(this.#context, call, work))
  }

  #transact(
    request: Operation & OperationOptions,
    work: TransactionWork<Tx>,
    fingerprintOf: () => string,
  ): Promise<ExecuteResult> {
    return this.#begin(request, fingerprintOf, (call) => transact(this.#transactionContext(), call, work))
  }

  #transactionContext(): TransactionContext<Tx> {
    const { store, bridge, transactionMs } = this.#settings
    if (!isAtomic(store)) throw notAtomic(store)
    // Without a bridge of the application's, the type of the store says what its own gives.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return { ...this.#context, store, bridge: bridge ?? (store.bridge as Bridge<Tx>), transactionMs }
  }

  /** A bridge onto another database would commit nothing together, and nobody would notice. */
  async #checkBridge(): Promise<void> {
    const { store, bridge } = this.#settings
    if (bridge !== undefined && isAtomic(store)) await store.check(bridge)
  }

  #begin(
    request: Operation & OperationOptions,
    fingerprintOf: () => string,
    start: (call: Call) => Promise<ExecuteResult>,
  ): Promise<ExecuteResult> {
    try {
      this.#checkOpen()
      const call = this.#call(request, fingerprintOf)
      this.#sweeper.start()
      const result = start(call)
      this.#running += 1
      result.then(this.#ended, this.#ended)
      return result
    } catch (error) {
      return Promise.reject(error)
    }
  }

  readonly #ended = (): void => {
    this.#running -= 1
    if (this.#running === 0) this.#whenIdle?.()
  }

  #call(request: Operation & OperationOptions, fingerprintOf: () => string): Call {
    const { scope, name, key, signal } = request
    const id = this.#idOf(request)
    const { policy, waitMs } = operationSettings(request, this.#settings.operation)
    const startedAt = this.#platform.monotonicNow()
    return { id, operation: { scope, name, key }, fingerprint: fingerprintOf(), policy, waitMs, signal, startedAt }
  }

  #idOf(operation: Operation): string {
    checkOperation(operation)
    return operationId(operation, this.sha256)
  }

  #fingerprintOf(input: unknown): string {
    return input === undefined ? this.#noInput : fingerprint([canonicalValue(input)], this.sha256)
  }

  readonly #emit = (event: OncewardEvent): void => {
    try {
      const told: unknown = this.#settings.onEvent?.(event)
      if (told instanceof Promise) told.catch(() => {})
    } catch {
      // A listener that fails must not change what becomes of an operation, nor end the process when it is asynchronous.
    }
  }

  readonly #emitAbout = (call: Call, event: CallEvent): void => {
    if (this.#settings.onEvent === undefined) return
    const durationMs = this.#platform.monotonicNow() - call.startedAt
    this.#emit({ ...event, ...this.#aboutOperation(call.operation), durationMs })
  }

  #aboutOperation({ scope, name, key }: Operation): { scopeDigest: string; name: string; key: string } {
    return { scopeDigest: this.sha256(scope).slice(0, 16), name, key }
  }
}

/** Turns a store's failure into the library's error. */
function unavailable(consequence: string): (error: unknown) => never {
  return (error) => {
    throw isOncewardError(error) ? error : new StoreUnavailableError(error, consequence)
  }
}
