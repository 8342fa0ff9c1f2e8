import { admit, prepare } from './protocol.ts'
import { answerTo, answerToError, handlerFailed, isStoreDown } from './result-answer.ts'
import { Capture, type CapturePolicy } from './node-capture.ts'
import { dropUnread } from './node-request.ts'
import { isPatched } from './node-patch.ts'
import { misconfigured } from './refusals.ts'
import { policyOf, type HttpOptions, type HttpPolicy } from './policy.ts'
import { Refusal } from '../core/errors.ts'
import { refusalAnswer } from './problem.ts'
import { reportToConsole } from './node-runtime.ts'
import { setAnswer } from './node-headers.ts'
import { setAttempt } from './attempt-of.ts'
import type { Answer } from './answer.ts'
import type { Attempt, Ending, ExecuteRequest, ExecuteResult } from '../engine/once.ts'
import type { NodeCall } from './node-call.ts'
import type { NodeResponse } from './node-types.ts'

/** One request and its response, as an adapter hands them to the door. */
export interface NodeExchange<Request extends object> {
  readonly call: NodeCall<Request>
  readonly response: NodeResponse
  /** Starts the handler, which answers on the response whenever it likes. What it throws or rejects with breaks its attempt off. */
  run(): unknown
  /** Told of an error before the handler ran that is the application's, of its `scope` say. */
  fail(error: unknown): void
}

/** The HTTP door on Node's request and response: one for every framework that has them. */
export class NodeDoor<Request extends object> {
  readonly #policy: HttpPolicy<Request>
  readonly #capture: CapturePolicy
  readonly #report: (error: unknown) => void

  /** @throws OptionsError that names the option, what is wrong and the remedy */
  constructor(options: HttpOptions<Request>) {
    this.#policy = policyOf(options)
    this.#report = this.#policy.onError ?? reportToConsole
    this.#capture = { ...this.#policy, report: this.#report }
  }

  /** Lets a request pass, refuses it, replays an answer to it, or has it handled once. */
  serve(exchange: NodeExchange<Request>): void {
    const admission = admit(this.#policy, exchange.call)
    switch (admission.state) {
      case 'pass':
        return this.#runUnprotected(exchange)
      case 'refused':
        return this.#give(exchange, admission.answer)
      case 'admitted':
        void this.#protect(exchange, admission.key, admission.sent)
    }
  }

  /** Answers in the handler's stead, where it threw before it had answered. The error is the application's, and not for callers. */
  giveThrown({ response }: NodeExchange<Request>, error: unknown): void {
    if (error instanceof Refusal && !response.headersSent) return give(response, refusalAnswer(error))
    this.#report(error)
    if (response.headersSent) response.destroy()
    else give(response, handlerFailed())
  }

  /** Never rejects. */
  async #protect(exchange: NodeExchange<Request>, key: string, sent: string): Promise<void> {
    const { call, response } = exchange
    try {
      if (isPatched(response)) return this.#give(exchange, mountedTwice())
      response.setHeader(this.#policy.header, sent)
      const prepared = await prepare(this.#policy, call, key)
      if (prepared.state === 'ready') await this.#execute(exchange, prepared.request)
      else if (prepared.state === 'refused') this.#give(exchange, prepared.answer)
    } catch (error) {
      exchange.fail(error)
    }
  }

  async #execute(exchange: NodeExchange<Request>, request: ExecuteRequest): Promise<void> {
    let capture: Capture | undefined
    try {
      const result = await this.#policy.execute(request, (attempt) => {
        // A handler that began now would find another body than the one that was compared, and its outcome would stand for that one.
        if (exchange.call.isGone) return Promise.resolve<Ending>({ state: 'release' })
        capture = new Capture(exchange.response, this.#capture)
        this.#start(exchange, capture, attempt)
        return capture.ending
      })
      this.#settled(exchange, capture, result)
    } catch (error) {
      this.#failed(exchange, capture, error)
    }
  }

  #start(exchange: NodeExchange<Request>, capture: Capture, attempt: Attempt): void {
    setAttempt(exchange.call.request, attempt)
    try {
      const running = exchange.run()
      if (isPromise(running)) running.then(undefined, (error: unknown) => this.#thrown(exchange, capture, error))
    } catch (error) {
      this.#thrown(exchange, capture, error)
    }
  }

  /** A refusal is an outcome, answered through the capture as if the handler had; any other error breaks the attempt off. */
  #thrown({ response }: NodeExchange<Request>, capture: Capture, error: unknown): void {
    if (error instanceof Refusal && !response.headersSent && !capture.isAnswered) return give(response, refusalAnswer(error))
    capture.fail(error)
    if (!capture.isClientGone) this.#report(error)
  }

  #settled(exchange: NodeExchange<Request>, capture: Capture | undefined, result: ExecuteResult): void {
    if (result.state !== 'interrupted' && (result.state !== 'completed' || result.replayed))
      return this.#replace(exchange, capture, answerTo(this.#policy, result))
    capture?.release()
    dropUnread(exchange.call.raw)
  }

  #failed(exchange: NodeExchange<Request>, capture: Capture | undefined, error: unknown): void {
    if (capture === undefined && exchange.call.signal.aborted) return
    if (capture?.isFailure(error) === true) return this.#replace(exchange, capture, handlerFailed())
    if (capture === undefined && this.#policy.storeDown === 'run' && isStoreDown(error)) return this.#runUnprotected(exchange)
    const answer = answerToError(error)
    if (answer !== undefined) return this.#replace(exchange, capture, answer)
    if (capture === undefined) return exchange.fail(error)
    this.#report(error)
    this.#replace(exchange, capture, handlerFailed())
  }

  #replace(exchange: NodeExchange<Request>, capture: Capture | undefined, answer: Answer): void {
    if (capture === undefined) return this.#give(exchange, answer)
    capture.replace(answer)
    dropUnread(exchange.call.raw)
  }

  #give({ call, response }: NodeExchange<Request>, answer: Answer): void {
    give(response, answer)
    dropUnread(call.raw)
  }

  #runUnprotected(exchange: NodeExchange<Request>): void {
    try {
      const running = exchange.run()
      if (isPromise(running)) running.then(undefined, (error: unknown) => this.giveThrown(exchange, error))
    } catch (error) {
      this.giveThrown(exchange, error)
    }
  }
}

function give(response: NodeResponse, answer: Answer): void {
  setAnswer(response, answer)
  response.end(answer.body)
}

function mountedTwice(): Answer {
  return misconfigured('idempotent() stands twice before this handler: leave one of them out')
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
