import { NodeCall } from './node-call.ts'
import { observable, type NestObservable, type NestObserver } from './nest-observable.ts'
import { presentHeaders, type FastifyReply } from './fastify-reply.ts'
import { Refusal } from '../core/errors.ts'
import type { ExpressRequest } from './express.ts'
import type { FastifyRequest } from './fastify.ts'
import type { NodeDoor, NodeExchange } from './node-door.ts'
import type { NodeResponse } from './node-types.ts'

/** A request of Nest: Express's, or Fastify's. */
export type NestRequest = ExpressRequest | FastifyRequest

/** Nest's `ExecutionContext`, by the members that are used. */
export interface NestContext<Request> {
  /** `http` where this layer can be. */
  getType(): string
  /** The request and the response of Express, or the request and the reply of Fastify. */
  switchToHttp(): { getRequest(): Request; getResponse(): NodeResponse | FastifyReply }
}

/** Nest's `CallHandler`. */
export interface NestHandler<Handled> {
  /** What runs the handler when it is subscribed to. */
  handle(): Handled
}

/** One request and its response, and what Nest is given for its handler. */
export class NestExchange<Request extends NestRequest, Handled extends NestObservable> implements NodeExchange<Request> {
  readonly call: NodeCall<Request>
  readonly response: NodeResponse
  /** Resolves when the handler may be subscribed to, or when there has been another answer; rejects with an error of the application's. */
  readonly handled: Promise<Handled>
  /** Express's response, or Fastify's reply. */
  readonly #platform: NodeResponse | FastifyReply
  readonly #next: NestHandler<Handled>
  readonly #door: NodeDoor<Request>
  readonly #resolve: (handled: Handled) => void
  readonly #reject: (error: unknown) => void
  #isRunning = false

  constructor(context: NestContext<Request>, next: NestHandler<Handled>, door: NodeDoor<Request>) {
    const http = context.switchToHttp()
    this.call = callOf(http.getRequest())
    this.#platform = http.getResponse()
    this.response = 'raw' in this.#platform ? this.#platform.raw : this.#platform
    if ('raw' in this.#platform) presentHeaders(this.#platform)
    this.#next = next
    this.#door = door
    const { promise, resolve, reject } = Promise.withResolvers<Handled>()
    this.handled = promise
    this.#resolve = resolve
    this.#reject = reject
    this.response.once('close', () => {
      if (!this.#isRunning) this.#resolve(observable(next.handle(), (observer) => this.#conclude(observer)))
    })
  }

  /** Not waited for by the door: exception filters answer what the handler throws. */
  run(): void {
    this.#isRunning = true
    const handled = this.#next.handle()
    this.#resolve(observable(handled, (observer) => this.#subscribe(handled, observer)))
  }

  fail(error: unknown): void {
    this.#reject(error)
  }

  #subscribe(handled: Handled, observer: NestObserver): () => void {
    let isOver = false
    const subscription = handled.subscribe({
      next: (value) => observer.next(value),
      error: (error) => {
        isOver = true
        this.#thrown(error, observer)
      },
      complete: () => {
        isOver = true
        observer.complete()
      },
    })
    return () => {
      subscription.unsubscribe()
      // Nest ends an Observable whose client is gone, and answers nobody: the attempt is cut short.
      if (!isOver && this.call.raw.socket.destroyed) this.response.destroy()
    }
  }

  /** Nest does not know a refusal; any other error is for its exception filters, which end an answer that has begun as if it were whole. */
  #thrown(error: unknown, observer: NestObserver): void {
    const { headersSent, writableEnded } = this.response
    if (headersSent && !writableEnded) this.response.destroy()
    if (!(error instanceof Refusal) || headersSent) return observer.error(error)
    this.response.once('close', () => this.#conclude(observer))
    this.#door.giveThrown(this, error)
  }

  /** Nest answers when its interceptors are through, whether there has been an answer or not. What it says then goes nowhere. */
  #conclude(observer: NestObserver): void {
    for (const target of [this.#platform, this.response])
      for (const name of answering)
        Object.defineProperty(target, name, { configurable: true, writable: true, value: () => target })
    observer.next(undefined)
    observer.complete()
  }
}

/** What all the ways to answer of Express and Fastify come down to. */
const answering = ['send', 'setHeader', 'appendHeader', 'removeHeader', 'writeHead', 'write', 'end']

function callOf<Request extends NestRequest>(request: Request): NodeCall<Request> {
  const given: NestRequest = request
  return new NodeCall(request, { raw: 'raw' in given ? given.raw : given, target: given.originalUrl, parsed: given })
}
