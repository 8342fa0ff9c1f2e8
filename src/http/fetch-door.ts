import { admit, prepare } from './protocol.ts'
import { answerTo, answerToError, isStoreDown } from './result-answer.ts'
import { clientGone, givenResponse, ownResponse, type Dress } from './fetch-response.ts'
import { FetchCapture } from './fetch-capture.ts'
import { misconfigured } from './refusals.ts'
import { policyOf, type HttpOptions, type HttpPolicy } from './policy.ts'
import { Refusal } from '../core/errors.ts'
import { refusalAnswer } from './problem.ts'
import { reportToConsole } from './fetch-runtime.ts'
import { setAttempt } from './attempt-of.ts'
import type { Answer } from './answer.ts'
import type { Attempt, Ending, ExecuteRequest } from '../engine/once.ts'
import type { FetchCall } from './fetch-call.ts'

/** What a handler came to: its answer, and beside it the error that its framework has answered with it. */
export interface Handled {
  readonly response: Response
  readonly error?: Error | undefined
}

/** One request, as an adapter hands it to the door. */
export interface FetchExchange<Asked extends object> {
  readonly call: FetchCall<Asked>
  /** A copy of the headers that layers before this one have set for the present request. */
  present(): Headers | undefined
  /** Runs the handler. Rejects with what it throws and its framework does not answer. */
  run(): Promise<Handled>
}

/** One request under its key. */
interface Execution {
  readonly dress: Dress
  readonly answering: PromiseWithResolvers<Response>
  readonly capture: FetchCapture
  hasStarted: boolean
  /** What the attempt was broken off with, and what the framework answered to it. */
  failure?: { readonly error: unknown; readonly response: Response | undefined }
}

/** Requests whose handlers are running: one that comes by again has met the layer twice. */
const inside = new WeakSet()

/** The HTTP door on the Fetch standard's Request and Response: one for every framework that has them. */
export class FetchDoor<Asked extends object> {
  readonly #policy: HttpPolicy<Asked>
  readonly #report: (error: unknown) => void

  /** @throws OptionsError that names the option, what is wrong and the remedy */
  constructor(options: HttpOptions<Asked>) {
    this.#policy = policyOf(options)
    this.#report = this.#policy.onError ?? reportToConsole
  }

  /**
   * Lets a request pass, refuses it, replays an answer to it, or has it handled once. Rejects with what the handler or `scope` throws, so
   * that errors stay the framework's own; a refusal is an answer.
   */
  async serve(exchange: FetchExchange<Asked>): Promise<Response> {
    const admission = admit(this.#policy, exchange.call)
    switch (admission.state) {
      case 'pass':
        return this.#runUnprotected(exchange)
      case 'refused':
        return givenResponse(admission.answer, { present: exchange.present(), key: undefined })
      case 'admitted':
        return this.#protect(exchange, admission.key, {
          present: exchange.present(),
          key: [this.#policy.header, admission.sent],
        })
    }
  }

  async #protect(exchange: FetchExchange<Asked>, key: string, dress: Dress): Promise<Response> {
    if (inside.has(exchange.call.request)) return givenResponse(mountedTwice(), dress)
    try {
      const prepared = await prepare(this.#policy, exchange.call, key)
      if (prepared.state === 'ready') return await this.#execute(exchange, prepared.request, dress)
      return prepared.state === 'aborted' ? clientGone() : givenResponse(prepared.answer, dress)
    } catch (error) {
      return refused(error, dress)
    }
  }

  /** Resolves when the answer may go out: a stream long before the handler has ended it. */
  #execute(exchange: FetchExchange<Asked>, request: ExecuteRequest, dress: Dress): Promise<Response> {
    const answering = Promise.withResolvers<Response>()
    const capture = new FetchCapture(this.#policy, dress, answering.resolve)
    const execution = { dress, answering, capture, hasStarted: false }
    this.#conclude(exchange, request, execution).catch(answering.reject)
    return answering.promise
  }

  async #conclude(exchange: FetchExchange<Asked>, request: ExecuteRequest, execution: Execution): Promise<void> {
    try {
      const result = await this.#policy.execute(request, (attempt) => this.#attempt(exchange, execution, attempt))
      if (result.state === 'interrupted' || (result.state === 'completed' && !result.replayed)) execution.capture.release()
      else replace(execution, answerTo(this.#policy, result))
    } catch (error) {
      this.#failed(exchange, execution, error)
    }
  }

  async #attempt(exchange: FetchExchange<Asked>, execution: Execution, attempt: Attempt): Promise<Ending> {
    const { capture, dress } = execution
    execution.hasStarted = true
    setAttempt(exchange.call.request, attempt)
    let framework: Response | undefined
    try {
      const { response, error } = await this.#handled(exchange, dress)
      if (error === undefined) return await capture.take(response)
      framework = response
      throw error
    } catch (error) {
      execution.failure = { error, response: framework }
      if (capture.isMuted) this.#report(error)
      throw error
    }
  }

  /** An error whose answer is one to be remembered is a way of answering; a refusal always has one. */
  async #handled(exchange: FetchExchange<Asked>, dress: Dress): Promise<Handled> {
    const { request } = exchange.call
    inside.add(request)
    try {
      const handled = await exchange.run()
      if (handled.error === undefined) return handled
      if (this.#policy.stores(handled.response.status)) return { response: handled.response }
      return handled.error instanceof Refusal ? { response: refused(handled.error, dress) } : handled
    } catch (error) {
      return { response: refused(error, dress) }
    } finally {
      inside.delete(request)
    }
  }

  #failed(exchange: FetchExchange<Asked>, execution: Execution, error: unknown): void {
    const { answering, capture, failure, hasStarted, dress } = execution
    if (failure?.error === error && failure !== undefined) return breakOff(execution, failure)
    if (!hasStarted && exchange.call.signal.aborted) return answering.resolve(clientGone())
    if (!hasStarted && this.#policy.storeDown === 'run' && isStoreDown(error))
      return answering.resolve(this.#runUnprotected(exchange, dress))
    const answer = answerToError(error)
    if (answer !== undefined) return replace(execution, answer)
    if (capture.withdraw(error)) answering.reject(error)
  }

  async #runUnprotected(
    exchange: FetchExchange<Asked>,
    dress: Dress = { present: undefined, key: undefined },
  ): Promise<Response> {
    return (await this.#handled(exchange, dress)).response
  }
}

/** Gives another answer in place of the handler's, or cuts the answer off of which a part has gone out. */
function replace({ answering, capture, dress }: Execution, answer: Answer): void {
  if (capture.withdraw(new Error('the answer was cut off: another attempt has taken the operation over, or its time was up')))
    answering.resolve(givenResponse(answer, dress))
}

/** The handler broke off. Its error, and what its framework made of it, are the application's. */
function breakOff(execution: Execution, { error, response }: NonNullable<Execution['failure']>): void {
  const { answering, capture, dress } = execution
  if (!capture.withdraw(error)) return
  if (response === undefined) answering.reject(error)
  else answering.resolve(ownResponse(response, response.body, dress))
}

/** A refusal that the application threw is its answer; any other error is thrown on. */
function refused(error: unknown, dress: Dress): Response {
  if (error instanceof Refusal) return givenResponse(refusalAnswer(error), dress)
  throw error
}

function mountedTwice(): Answer {
  return misconfigured('idempotent() stands twice before this handler: leave one of them out')
}
