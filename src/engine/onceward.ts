import { canonicalValue } from '../core/canonical-value.ts'
import { ClosedError, StoreUnavailableError, isOncewardError } from '../core/errors.ts'
import { fingerprint } from '../core/fingerprint.ts'
import { checkOperation, operationId, type Operation, type Sha256 } from '../core/operation.ts'
import { checkResolution, decidedOutcome } from './resolution.ts'
import { define } from './define.ts'
import { execute, type Call, type CallEvent, type ExecutionContext } from './execution.ts'
import { Flights } from './flights.ts'
import { Leases, type LeasedAttempt } from './leases.ts'
import { operationSettings, settingsOf, type OncewardOptions, type Settings } from './options.ts'
import { peekAt } from './peek.ts'
import { StoreCalls } from './store-calls.ts'
import { Sweeper } from './sweeper.ts'
import { thrownUnlessCompleted, tried } from './values.ts'
import type {
  Attempt,
  DefinedOperation,
  Ending,
  ExecuteRequest,
  ExecuteResult,
  Once,
  OperationOptions,
  Peek,
  ResolveAs,
  RunRequest,
  TryResult,
} from './once.ts'
import type { Guarantee } from '../core/store.ts'
import type { OncewardEvent } from './events.ts'
import type { Platform } from './platform.ts'
import type { Resolution } from '../core/record.ts'

/** The engine: claims, renews, waits and settles on behalf of its callers. */
export class Onceward implements Once {
  readonly sha256: Sha256
  readonly #settings: Settings
  readonly #platform: Platform
  readonly #calls: StoreCalls
  readonly #context: ExecutionContext
  readonly #sweeper: Sweeper
  #running = 0
  #whenIdle: (() => void) | undefined
  readonly #noInput: string
  #closing: Promise<void> | undefined

  constructor(options: OncewardOptions, system: Platform) {
    const settings = settingsOf(options, system)
    const { store, platform, storeTimeoutMs, leaseMs, attemptMs, waitersMax, outcomeBytesMax } = settings
    this.#settings = settings
    this.#platform = platform
    this.sha256 = platform.sha256
    this.#noInput = fingerprint([], platform.sha256)
    const calls = new StoreCalls({ store, platform, storeTimeoutMs, emit: this.#emit })
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
      inside: platform.asyncContext<LeasedAttempt>(),
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
    try {
      this.#checkOpen()
      const call = this.#call(request, fingerprintOf)
      this.#sweeper.start()
      const result = execute(this.#context, call, work)
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
