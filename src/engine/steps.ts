import {
  AttemptEndedError,
  InputError,
  LeaseLostError,
  StoreUnavailableError,
  UncertainError,
  isRefusal,
  refusal,
} from '../core/errors.ts'
import { decodeOutcome, encodeRefusal, encodeValue, outcomeBytes } from '../core/outcome.ts'
import { limits } from '../core/limits.ts'
import type { Fence, SettleResult, Settlement } from '../core/transitions.ts'
import type { Outcome, Step } from '../core/record.ts'
import type { Refusal } from '../core/errors.ts'
import type { Sha256 } from '../core/operation.ts'
import type { StepOptions, StepRun } from './once.ts'

/** The attempt whose steps they are. */
export interface SteppingAttempt {
  readonly fence: Fence
  /** Of its record: what tells the operation from the next one that has the same key, once this one is forgotten. */
  readonly generation: string
  readonly signal: AbortSignal
  /** What earlier attempts have recorded. */
  readonly kept: readonly Step[]
  /** The lease was renewed by a settlement sent at this time of the monotonic clock. */
  renewed(sentAt: number): void
  lose(error: LeaseLostError): void
}

/** What steps need of the engine. */
export interface StepsContext {
  readonly sha256: Sha256
  readonly leaseMs: number
  monotonicNow(): number
  settle(settlement: Settlement): Promise<SettleResult | 'unknown'>
}

/**
 * What is recorded of a step, by the beginning of its name in the record: its result; that it is about to be done; that it was undone; and,
 * alone, that the operation was refused, from when on nothing new is done.
 */
type Kind = 'step' | 'intent' | 'undo' | 'refused'

interface Undo {
  readonly name: string
  readonly undo: (run: StepRun) => Promise<void> | void
}

/**
 * The steps of one attempt. What was recorded by an earlier one is not done again; what is recorded here carries the fence, so that an
 * attempt that was taken over stops at its next step.
 */
export class Steps {
  readonly #attempt: SteppingAttempt
  readonly #context: StepsContext
  readonly #kept: Map<string, Outcome>
  readonly #names = new Set<string>()
  readonly #undos: Undo[] = []
  readonly #running = new Set<Promise<unknown>>()
  #uncertain = false
  #ended = false

  constructor(attempt: SteppingAttempt, context: StepsContext) {
    this.#attempt = attempt
    this.#context = context
    this.#kept = new Map(attempt.kept.map(({ name, result }) => [name, result]))
  }

  /** Whether a step may or may not have taken effect, and nobody can tell which. */
  get isUncertain(): boolean {
    return this.#uncertain
  }

  /** The attempt's work has ended: no step begins any more. */
  end(): void {
    this.#ended = true
  }

  /** Does a step, or gives what it came to when it was done before. */
  async run<Value>(
    name: string,
    work: (run: StepRun) => Promise<Value> | Value,
    options: StepOptions<Value> = {},
  ): Promise<Value> {
    this.#begin(name)
    const running = this.#result(name, work, options)
    this.#running.add(running)
    try {
      const value = await running
      if (options.undo !== undefined) this.#undos.push({ name, undo: (run) => options.undo?.(value, run) })
      return value
    } finally {
      this.#running.delete(running)
    }
  }

  /**
   * The operation is refused: undoes what its steps have done, the last first. Each undoing is recorded as a step is, so that another
   * attempt goes on where this one was cut short; it must be one that can be done twice, or takes the key it is given.
   */
  async undo(refused: Refusal): Promise<void> {
    await Promise.allSettled(this.#running)
    if (this.#undos.length === 0 || this.#uncertain) return
    if (!this.#kept.has(stored('refused'))) await this.#record('refused', '', refusedResult(refused))
    for (const { name, undo } of this.#undos.toReversed()) {
      if (this.#kept.has(stored('undo', name))) continue
      this.#attempt.signal.throwIfAborted()
      await undo(this.#run('undo', name))
      await this.#record('undo', name, encodeValue(undefined))
    }
  }

  #begin(name: string): void {
    checkName(name)
    if (this.#ended) throw new AttemptEndedError(`the step '${name}' was not done`)
    if (this.#names.has(name))
      throw new InputError(
        `the step '${name}' was asked for twice in one attempt; it was not done again: give each step a name of its own`,
      )
    if (this.#names.size >= limits.stepsMax)
      throw new InputError(`the attempt has ${limits.stepsMax} steps; '${name}' was not done: make one step of several`)
    this.#names.add(name)
  }

  async #result<Value>(
    name: string,
    work: (run: StepRun) => Promise<Value> | Value,
    options: StepOptions<Value>,
  ): Promise<Value> {
    const kept = this.#kept.get(stored('step', name))
    // As with JSON.parse, what the caller says its step gives is what it was.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    if (kept !== undefined) return valueOf(kept) as Value
    this.#checkForward(name)
    const holds = options.uncertain === 'hold'
    if (holds) await this.#record('intent', name, encodeValue(undefined))
    const result = await this.#done(name, work, holds)
    await this.#record('step', name, result)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return valueOf(result) as Value
  }

  /** Nothing new is done by an operation that is refused, in doubt or no longer this attempt's. */
  #checkForward(name: string): void {
    const refused = this.#kept.get(stored('refused'))
    if (refused !== undefined) valueOf(refused)
    if (this.#kept.has(stored('intent', name))) this.#uncertain = true
    if (this.#uncertain) throw new UncertainError(name)
    this.#attempt.signal.throwIfAborted()
  }

  /** A refusal is as definite as a result. Any other error leaves open whether the step took effect. */
  async #done<Value>(name: string, work: (run: StepRun) => Promise<Value> | Value, holds: boolean): Promise<Outcome> {
    try {
      return checkedResult(name, await work(this.#run('step', name)))
    } catch (error) {
      if (isRefusal(error)) return refusedResult(error)
      if (holds) this.#uncertain = true
      throw error
    }
  }

  #run(kind: Kind, name: string): StepRun {
    const { fence, generation, signal } = this.#attempt
    const word = stored(kind, name)
    return { key: this.#context.sha256(`${fence.id}${generation}:${word}`), signal }
  }

  /** @throws LeaseLostError when another attempt has taken over; StoreUnavailableError when it is unknown whether it was recorded */
  async #record(kind: Kind, name: string, result: Outcome): Promise<void> {
    const { fence } = this.#attempt
    const step: Step = { name: stored(kind, name), result }
    const sentAt = this.#context.monotonicNow()
    const settled = await this.#context.settle({ ...fence, kind: 'step', step, leaseMs: this.#context.leaseMs })
    if (settled === 'ok') {
      this.#kept.set(step.name, result)
      this.#attempt.renewed(sentAt)
      return
    }
    if (settled === 'unknown')
      throw new StoreUnavailableError(
        new Error(`'${step.name}' may not be recorded`),
        'the attempt ends here: ask again with the same key when the store is back',
      )
    const lost = new LeaseLostError('another attempt has taken over')
    this.#attempt.lose(lost)
    throw lost
  }
}

function stored(kind: Kind, name = ''): string {
  return kind === 'refused' ? kind : `${kind}:${name}`
}

function checkName(name: unknown): void {
  if (typeof name !== 'string' || name === '' || name.length > limits.stepNameLengthMax || !name.isWellFormed())
    throw new InputError(
      `a step's name is 1 to ${limits.stepNameLengthMax} characters of well-formed Unicode, not ${typeof name === 'string' ? JSON.stringify(name).slice(0, 80) : typeof name}; the step was not done`,
    )
}

/** The step has taken effect by now, which is what the error has to say. */
function checkedResult(name: string, value: unknown): Outcome {
  const result = encodeValue(value)
  const remedy = 'the step took effect, and its result is not recorded: return less, or plain JSON'
  if (!result.kept) throw new InputError(`the result of the step '${name}' cannot be serialised; ${remedy}`)
  if (outcomeBytes(result) > limits.stepBytesMax)
    throw new InputError(
      `the result of the step '${name}' takes ${outcomeBytes(result)} bytes, at most ${limits.stepBytesMax} are kept; ${remedy}`,
    )
  return result
}

/** A refusal is kept without its details rather than not at all: it decides what becomes of the operation. */
function refusedResult(error: Refusal): Outcome {
  const result = encodeRefusal(error)
  return result.kept && outcomeBytes(result) <= limits.stepBytesMax ? result : encodeRefusal(refusal(error.status, error.message))
}

/** Alike for the attempt that did the step and for the next: both see what was recorded. */
function valueOf(result: Outcome): unknown {
  const found = decodeOutcome(result)
  if (found.state === 'refusal') throw found.refusal
  return found.state === 'value' ? found.value : undefined
}
