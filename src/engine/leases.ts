import { AttemptTimeoutError, LeaseLostError, type Refusal } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { Steps, type SteppingAttempt } from './steps.ts'
import type { Attempt, StepOptions, StepRun, TransactionAttempt } from './once.ts'
import type { Fence, Settlement, SettleResult } from '../core/transitions.ts'
import type { Step } from '../core/record.ts'
import type { AsyncContext, Platform } from './platform.ts'

/** What the leases of a process need to know. */
export interface LeasesOptions {
  readonly platform: Platform
  readonly leaseMs: number
  /** How long a handler may run. Milliseconds. */
  readonly attemptMs: number
  readonly renew: (fence: Fence, leaseMs: number) => Promise<SettleResult>
  /** Settles a step, bounded in time. */
  readonly settle: (settlement: Settlement) => Promise<SettleResult | 'unknown'>
}

/** An attempt that was claimed. */
export interface Claimed {
  readonly fence: Fence
  /** When its claim was sent, by the monotonic clock. Milliseconds. */
  readonly sentAt: number
  /** Of its record. */
  readonly generation: string
  /** The steps kept so far. */
  readonly kept: readonly Step[]
}

/** The attempts running in this process, and the renewal of their leases: one timer for all of them. */
export class Leases {
  readonly #options: LeasesOptions
  readonly #attempts = new Set<LeasedAttempt>()
  /** Often enough that a lease is noticed to be unconfirmed before it lapses, and a handler to be overdue soon after. */
  readonly #tickMs: number
  #isTicking = false

  constructor(options: LeasesOptions) {
    this.#options = options
    this.#tickMs = Math.max(1, Math.min(options.leaseMs / 10, options.attemptMs / 4))
  }

  /** Keeps the lease of an attempt until it is dropped. */
  add(claimed: Claimed): LeasedAttempt {
    const attempt = new LeasedAttempt(claimed, this)
    this.#attempts.add(attempt)
    if (!this.#isTicking) this.#nextTick()
    return attempt
  }

  /** The attempt is settled, or its lease shall lapse. */
  drop(attempt: LeasedAttempt): void {
    this.#attempts.delete(attempt)
  }

  /** The steps of an attempt. */
  stepsOf(attempt: LeasedAttempt): Steps {
    const { platform, leaseMs, settle } = this.#options
    return new Steps(attempt, { sha256: platform.sha256, leaseMs, settle, monotonicNow: () => platform.monotonicNow() })
  }

  readonly #tick = (): void => {
    const now = this.#options.platform.monotonicNow()
    for (const attempt of this.#attempts) this.#look(attempt, now)
    if (this.#attempts.size > 0) this.#nextTick()
    else this.#isTicking = false
  }

  #nextTick(): void {
    this.#isTicking = true
    this.#options.platform.timer(this.#tickMs, this.#tick, 'background')
  }

  #look(attempt: LeasedAttempt, now: number): void {
    const { leaseMs, attemptMs } = this.#options
    if (attempt.isWorking && now - attempt.startedAt >= attemptMs) {
      this.drop(attempt)
      attempt.end(new AttemptTimeoutError(attemptMs))
    } else if (now - attempt.confirmedAt >= leaseMs - this.#tickMs) {
      // The lease is still renewed where it can be: if nobody has taken over, the attempt's outcome is accepted.
      attempt.lose(new LeaseLostError(`no renewal was confirmed for ${leaseMs} ms`))
    }
    if (now - attempt.sentAt >= leaseMs / limits.renewalsPerLease) void this.#renew(attempt, now)
  }

  /** Never rejects: a renewal without an answer is sent again at the next tick. */
  async #renew(attempt: LeasedAttempt, now: number): Promise<void> {
    if (!this.#attempts.has(attempt)) return
    attempt.sentAt = now
    try {
      const result = await this.#options.renew(attempt.fence, this.#options.leaseMs)
      if (result === 'ok') attempt.renewed(now)
      else if (this.#attempts.has(attempt)) attempt.lose(new LeaseLostError('another attempt has taken over'))
    } catch {
      // Told to the listener where the call was made.
      attempt.sentAt = attempt.confirmedAt
    }
  }
}

/** A piece of an operation inside which code runs: an attempt, or a transaction. */
export interface Inside {
  readonly operationId: string
  /** Whether its work goes on; what that left behind may run the operation again. */
  readonly isRunning: boolean
  /** Inside which it was started. */
  readonly outer: Inside | undefined
  /** What its handler was given, where it is a transaction. */
  readonly transaction: TransactionAttempt<unknown> | undefined
}

/** One attempt running in this process. Times are by the monotonic clock, in milliseconds. */
export class LeasedAttempt implements Attempt, SteppingAttempt, Inside {
  readonly fence: Fence
  readonly generation: string
  readonly kept: readonly Step[]
  readonly startedAt: number
  /** When the newest renewal was sent. */
  sentAt: number
  /** When the newest accepted renewal was *sent*: the lease runs from some time after it. */
  confirmedAt: number
  /** Whether its work goes on, be it overdue; what that left behind may run the operation again. */
  isRunning = false
  outer: Inside | undefined
  readonly transaction = undefined
  readonly #leases: Leases
  /** Made for the first step: most operations have none. */
  #steps: Steps | undefined
  #controller: AbortController | undefined
  #lost: LeaseLostError | AttemptTimeoutError | undefined
  #overdue = false
  #onEnd: ((error: AttemptTimeoutError) => void) | undefined

  constructor({ fence, sentAt, generation, kept }: Claimed, leases: Leases) {
    this.#leases = leases
    this.fence = fence
    this.generation = generation
    this.kept = kept
    this.startedAt = sentAt
    this.sentAt = sentAt
    this.confirmedAt = sentAt
  }

  get operationId(): string {
    return this.fence.id
  }

  /** Whether its time was up before its work ended. */
  get isOverdue(): boolean {
    return this.#overdue
  }

  /** Whether its time can still be up: not once its work has ended, from when on its lease is kept until it is settled. */
  get isWorking(): boolean {
    return this.#onEnd !== undefined
  }

  get number(): number {
    return this.fence.attempt
  }

  /** Made when it is first asked for: most handlers never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#lost !== undefined) this.#controller.abort(this.#lost)
    }
    return this.#controller.signal
  }

  /** Whether a step of it may or may not have taken effect. */
  get isUncertain(): boolean {
    return this.#steps?.isUncertain === true
  }

  step<Value>(name: string, work: (run: StepRun) => Promise<Value> | Value, options?: StepOptions<Value>): Promise<Value> {
    this.#steps ??= this.#leases.stepsOf(this)
    if (!this.isRunning) this.#steps.end()
    return this.#steps.run(name, work, options)
  }

  /** Undoes its steps, when the operation is refused. */
  async undo(refusal: Refusal): Promise<void> {
    this.#steps?.end()
    await this.#steps?.undo(refusal)
  }

  /** A renewal that was sent at this time was accepted. */
  renewed(sentAt: number): void {
    this.confirmedAt = Math.max(this.confirmedAt, sentAt)
  }

  /** Tells the handler that the operation may no longer be its own. */
  lose(error: LeaseLostError | AttemptTimeoutError): void {
    this.#lost ??= error
    this.#controller?.abort(this.#lost)
  }

  /** Tells the handler and its caller that its time is up. */
  end(error: AttemptTimeoutError): void {
    this.#overdue = true
    this.lose(error)
    this.#onEnd?.(error)
    this.#onEnd = undefined
  }

  /** Starts the work, inside this attempt. */
  start<Result>(inside: AsyncContext<Inside>, work: (attempt: LeasedAttempt) => Promise<Result>): Promise<Result> {
    this.outer = inside.getStore()
    this.isRunning = true
    try {
      return inside.run(this, () => work(this))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** What the work gives, or the error with which its time was up. */
  within<Result>(work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#onEnd = reject
      work.then(
        (result) => {
          this.#ended()
          resolve(result)
        },
        (error: unknown) => {
          this.#ended()
          reject(error)
        },
      )
    })
  }

  #ended(): void {
    this.isRunning = false
    this.#steps?.end()
    this.#onEnd = undefined
  }
}
