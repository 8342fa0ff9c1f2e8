import { AnswerCopy, hasBody } from './answer-copy.ts'
import { copiedBytes } from './node-runtime.ts'
import { expose, headOf, setAnswer, setGiven } from './node-headers.ts'
import { isBytes } from '../core/bytes.ts'
import { isCutHere, keepOpen, letClose, markEnded, markOpen, unrender } from './node-internals.ts'
import { isWrapped, patch, type Interceptor, type Originals } from './node-patch.ts'
import { later, Outlet, type Callback, type Chunk } from './node-outlet.ts'
import { encodeUnkept, type Answer, type AnswerHead } from './answer.ts'
import { streamRefused } from './transactional.ts'
import type { Ending } from '../engine/once.ts'
import type { Outcome } from '../core/record.ts'
import type { HttpPolicy } from './policy.ts'
import type { NodeHeader, NodeResponse } from './node-types.ts'

/** What the capture of an answer goes by. */
export interface CapturePolicy extends Pick<
  HttpPolicy<never>,
  'flows' | 'stores' | 'unreplayed' | 'heldBytesMax' | 'outcomeBytesMax'
> {
  /** Told of what no caller can be told of. */
  readonly report: (error: unknown) => void
}

/**
 * `open`: the handler has not ended its answer. `ended`: it has, and the end is held back until it is settled. `failed`: it threw, or broke
 * its answer off. `done`: what was held back has been sent, or another answer in its place.
 */
type Phase = 'open' | 'ended' | 'failed' | 'done'

/**
 * Captures what a handler answers on Node's response, whichever way it answers, and holds the end back until it is settled. Informational
 * answers (1xx) and trailers pass as they are and are not remembered.
 */
export class Capture implements Interceptor {
  /** What the handler ended with. Rejects with what `fail` was given. */
  readonly ending: Promise<Ending>
  readonly #response: NodeResponse
  readonly #policy: CapturePolicy
  readonly #isWrapped: boolean
  readonly #before: Readonly<Record<string, NodeHeader | undefined>>
  readonly #originals: Originals
  readonly #outlet: Outlet
  readonly #copy: AnswerCopy
  readonly #resolve: (ending: Ending) => void
  readonly #reject: (error: unknown) => void
  #phase: Phase = 'open'
  #failure: { readonly error: unknown } | undefined
  #head: AnswerHead | undefined
  #last: Chunk | undefined
  /** Another answer was given while the handler was still at its own. */
  #isAbandoned = false
  /** What was last piped into the response. */
  #source: Source | undefined
  #isIdle = false
  /** A method of the response's own is at work, which may call others of them on the response. */
  #isSending = false
  #isClientGone = false
  /** The event `close` has come, and is kept from the handler until it has ended. */
  #isCloseDue = false

  constructor(response: NodeResponse, policy: CapturePolicy) {
    const { promise, resolve, reject } = Promise.withResolvers<Ending>()
    this.ending = promise
    this.#resolve = resolve
    this.#reject = reject
    this.#response = response
    this.#policy = policy
    this.#copy = new AnswerCopy(policy.outcomeBytesMax)
    this.#before = response.getHeaders()
    this.#isWrapped = isWrapped(response)
    this.#originals = patch(response, this)
    const refused = policy.flows ? undefined : () => void this.fail(streamRefused())
    this.#outlet = new Outlet(response, this.#originals, { heldBytesMax: policy.heldBytesMax, refused })
  }

  /** The handler has ended its answer. */
  get isAnswered(): boolean {
    return this.#phase === 'ended' || this.#phase === 'done'
  }

  /** The connection was lost before the handler ended. */
  get isClientGone(): boolean {
    return this.#isClientGone
  }

  /** Whether this is what the attempt was broken off with. */
  isFailure(error: unknown): boolean {
    return this.#failure !== undefined && this.#failure.error === error
  }

  /** The handler broke off without an answer. False when it had ended its answer, which then stands, or had failed before. */
  fail(error: unknown): boolean {
    if (this.#phase !== 'open') return false
    this.#phase = 'failed'
    this.#outlet.stop()
    this.#failure = { error }
    this.#reject(error)
    return true
  }

  /** Sends what was held back: it is settled. */
  release(): void {
    this.#phase = 'done'
    if (this.#outlet.mode === 'muted' || this.#last === undefined) return this.#close()
    this.#isSending = true
    this.#outlet.finish(this.#last)
    this.#isSending = false
    this.#last = undefined
  }

  /** Gives another answer in place of the handler's, or cuts the answer off of which a part has gone out. */
  replace(answer: Answer): void {
    this.#isAbandoned = this.#phase === 'open'
    if (!this.#isAbandoned) this.#phase = 'done'
    const { mode } = this.#outlet
    const isReplaceable = mode === 'held' && this.#takeBack()
    this.#outlet.mute()
    if (isReplaceable) this.#give(answer)
    else if (mode !== 'muted') this.#originals.destroy.call(this.#response)
    if (!this.#isAbandoned) this.#close()
  }

  writeHead(status: number, reason?: unknown, headers?: unknown): unknown {
    const response = this.#response
    if (this.#phase === 'failed') return response
    if (this.#phase !== 'open' || response.headersSent) return this.#originals.writeHead.call(response, status, reason, headers)
    const words = typeof reason === 'string' ? [reason] : []
    setGiven(response, typeof reason === 'string' ? headers : (headers ?? reason))
    expose(response)
    // Read before the layers before this one see it: what compression makes of an answer it makes anew of the replay.
    const head = headOf(response, status, this.#policy.unreplayed)
    const length = response.hasHeader('transfer-encoding') ? undefined : response.getHeader('content-length')
    if (this.#isAbandoned) response.statusCode = status
    else this.#originals.writeHead.call(response, status, ...words)
    this.#head = head
    if (length !== undefined) this.#outlet.declare(Number(length))
    return response
  }

  write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    const { write } = this.#originals
    if (this.#isSending) return write.call(this.#response, chunk, encoding, callback)
    const done = firstFunction(encoding, callback)
    if (this.#phase !== 'open') return this.#tooLate(done)
    if (!isData(chunk)) return write.call(this.#response, chunk, encoding, callback)
    if (!hasBody(this.#begun().status)) return write.call(this.#response, chunk, encoding, callback)
    const data = this.#copied(chunk, encoding)
    this.#copy.add(data)
    return this.#outlet.add({ data, encoding: undefined, callback: done })
  }

  end(chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
    const done = firstFunction(chunk, encoding, callback)
    const data = typeof chunk === 'function' || !chunk ? '' : chunk
    if (this.#phase !== 'open') this.#endAgain(data, done)
    else if (!isData(data)) this.#originals.end.call(this.#response, data, encoding, callback)
    else this.#end({ data, encoding, callback: done })
    return this.#response
  }

  flushHeaders(): void {
    if (this.#phase !== 'open') return
    this.#begun()
    this.#outlet.flowSoon()
  }

  destroy(error?: Error): unknown {
    if (this.#isLetGo()) this.#endUnkept()
    // A response that waits behind others on its connection is destroyed by Node itself when that is lost: then the client is gone.
    else if (this.#response.socket !== null)
      this.fail(error ?? new Error('the handler destroyed its response before it had answered'))
    return this.#originals.destroy.call(this.#response, error)
  }

  emit(event: string, values: readonly unknown[]): boolean {
    if (event === 'timeout') this.#isIdle = true
    if (event === 'pipe') this.#watchSource(values[0])
    if (event !== 'close' || this.#phase === 'failed' || this.#phase === 'done')
      return this.#originals.emit.call(this.#response, event, ...values)
    this.#clientGone()
    return true
  }

  /** The head, rendered if it is not yet: by `writeHead` as the response has it now, so that layers behind this one have their say. */
  #begun(): AnswerHead {
    if (this.#head === undefined) this.#response.writeHead(this.#response.statusCode)
    if (this.#head === undefined)
      throw new TypeError('the headers of this answer were sent before its handler ran: send them in it')
    return this.#head
  }

  #end(last: Chunk): void {
    const bytes = copiedBytes(last.data, last.encoding)
    if (this.#head === undefined) this.#declareLength(bytes.length)
    const head = this.#begun()
    this.#copy.add(bytes)
    this.#last = last
    this.#phase = 'ended'
    this.#outlet.stop()
    markEnded(this.#response)
    if (this.#isAbandoned) this.#close()
    this.#settle(head)
  }

  #settle(head: AnswerHead, outcome: Outcome = this.#copy.outcome(head)): void {
    try {
      this.#resolve(this.#policy.stores(head.status) ? { state: 'complete', outcome } : { state: 'interrupt' })
    } catch (error) {
      // The application's `stores` threw.
      this.#reject(error)
    }
  }

  /** Some listen to the connection themselves and let go of what they read when the client is gone: the answer never ends, or breaks off. */
  #watchSource(source: unknown): void {
    if (!isSource(source)) return
    this.#source = source
    source.once('close', () => {
      if (this.#isLetGo()) this.#endUnkept()
    })
  }

  /** The source of the answer was destroyed, neither read to its end nor broken, because the client is gone. */
  #isLetGo(): boolean {
    if (!this.#isClientGone || this.#phase !== 'open' || this.#source === undefined) return false
    const { destroyed, readableEnded, errored } = this.#source
    return destroyed && !readableEnded && !errored
  }

  /** What the handler did stands all the same: it is completed without a body rather than left to lapse, or broken off, and run again. */
  #endUnkept(): void {
    const head = this.#begun()
    this.#phase = 'ended'
    this.#outlet.stop()
    this.#settle(head, encodeUnkept(head))
  }

  /** As Node does for an answer that comes in one piece. */
  #declareLength(bytes: number): void {
    const response = this.#response
    const isFramed =
      response.hasHeader('content-length') || response.hasHeader('transfer-encoding') || response.hasHeader('trailer')
    if (!isFramed && hasBody(response.statusCode)) response.setHeader('Content-Length', bytes)
  }

  /** Of an answer too large to be kept nothing is copied once it flows. */
  #copied(chunk: string | Uint8Array, encoding: unknown): Uint8Array {
    const isPassed = typeof chunk !== 'string' && this.#outlet.mode === 'flowing' && this.#copy.isOver
    return isPassed ? chunk : copiedBytes(chunk, encoding)
  }

  /** Takes back what is rendered of a held answer. What layers before this one have made of its headers cannot be. */
  #takeBack(): boolean {
    if (this.#response.destroyed) return false
    return this.#head === undefined || (!this.#isWrapped && unrender(this.#response, this.#before))
  }

  #give(answer: Answer): void {
    const { writeHead, end } = this.#originals
    const { statusCode } = this.#response
    setAnswer(this.#response, answer)
    writeHead.call(this.#response, answer.status)
    this.#isSending = true
    end.call(this.#response, answer.body)
    this.#isSending = false
    if (!this.#isAbandoned) return
    // A handler that was only late may still end its answer, to be remembered: it must not stumble over one already sent.
    unrender(this.#response, this.#before)
    this.#response.statusCode = statusCode
    markOpen(this.#response)
  }

  /** Whoever writes must not wait for a client that is not there: its work goes on, and its outcome is kept. */
  #clientGone(): void {
    const isCut = this.#head !== undefined && !this.#isIdle && isCutHere(this.#response)
    this.#isClientGone = true
    this.#isCloseDue = true
    keepOpen(this.#response)
    if (isCut) this.fail(new Error('the connection was destroyed in the middle of its answer'))
    this.#outlet.mute()
    if (this.#failure !== undefined) this.#close()
  }

  /** The end for a response that has nothing more to send. */
  #close(): void {
    this.#phase = 'done'
    later(this.#last?.callback)
    this.#last = undefined
    if (!this.#isCloseDue) return
    this.#isCloseDue = false
    letClose(this.#response)
    this.#originals.emit.call(this.#response, 'close')
  }

  #endAgain(data: unknown, callback: Callback | undefined): void {
    if (data === '') later(callback)
    else this.#tooLate(callback)
  }

  /** As Node has it, but that nobody's listening for `error` does not end the process. */
  #tooLate(callback: Callback | undefined): false {
    const error = Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })
    if (callback !== undefined) queueMicrotask(() => callback(error))
    if (this.#failure !== undefined) return false
    if (this.#response.listenerCount('error') > 0) this.#originals.emit.call(this.#response, 'error', error)
    else this.#policy.report(error)
    return false
  }
}

function isData(chunk: unknown): chunk is string | Uint8Array {
  return typeof chunk === 'string' || isBytes(chunk)
}

/** A stream, as far as it is looked at. */
interface Source {
  readonly destroyed: boolean
  readonly readableEnded: boolean
  readonly errored: Error | null
  once(event: 'close', listener: () => void): unknown
}

function isSource(source: unknown): source is Source {
  return typeof source === 'object' && source !== null && 'once' in source && 'readableEnded' in source && 'errored' in source
}

function firstFunction(...values: readonly unknown[]): Callback | undefined {
  return values.find(isCallback)
}

function isCallback(value: unknown): value is Callback {
  return typeof value === 'function'
}
