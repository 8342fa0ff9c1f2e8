import { AnswerCopy } from './answer-copy.ts'
import { checkedResponse, headOf, ownResponse, unreadBody, type Dress } from './fetch-response.ts'
import { endOfTurn } from './fetch-runtime.ts'
import { FetchOutlet } from './fetch-outlet.ts'
import { isBytes } from '../core/bytes.ts'
import { streamRefused } from './transactional.ts'
import type { Ending } from '../engine/once.ts'
import type { HttpPolicy } from './policy.ts'

/** What the capture of an answer goes by. */
export type FetchCapturePolicy = Pick<HttpPolicy<never>, 'flows' | 'stores' | 'unreplayed' | 'heldBytesMax' | 'outcomeBytesMax'>

/**
 * Captures the Response that a handler gives, and holds its end back until it is settled. A body that is there in one turn and within
 * `heldBytesMax` is held as a whole; any other flows, but for its end. What is copied to be remembered is read as it comes, since it is in
 * memory anyway; of an answer too large for that no more is read than its client takes.
 */
export class FetchCapture {
  readonly #policy: FetchCapturePolicy
  readonly #dress: Dress
  readonly #give: (response: Response) => void
  readonly #copy: AnswerCopy
  #own: Response | undefined
  #outlet = new FetchOutlet(null)
  #hasEnded = false
  #refusal: Error | undefined

  /** @param give called with the handler's own answer, as soon as it may go out */
  constructor(policy: FetchCapturePolicy, dress: Dress, give: (response: Response) => void) {
    this.#policy = policy
    this.#dress = dress
    this.#give = give
    this.#copy = new AnswerCopy(policy.outcomeBytesMax)
  }

  /** Nobody is there any more to be told how the handler ended. */
  get isMuted(): boolean {
    return this.#outlet.mode === 'muted'
  }

  /**
   * Takes the handler's answer, to its end.
   * @throws TypeError where it is no answer that can be sent; and what its stream or the application's `stores` throws
   */
  async take(given: unknown): Promise<Ending> {
    const own = checkedResponse(given)
    // Before the body, since servers with a Response of their own have it take the standard's headers as soon as that is looked at.
    const head = headOf(own, this.#policy.unreplayed)
    const body = unreadBody(own)
    if (body !== null) await this.#read(own, body)
    this.#own = own
    return this.#policy.stores(head.status) ? { state: 'complete', outcome: this.#copy.outcome(head) } : { state: 'interrupt' }
  }

  /** Sends what was held back: it is settled. */
  release(): void {
    if (this.#outlet.mode === 'held' && this.#own !== undefined)
      this.#give(ownResponse(this.#own, this.#own.body === null ? null : this.#outlet.pending, this.#dress))
    this.#outlet.finish()
  }

  /** Cuts off what has gone out in part; true where nothing has, so that another answer can be given. */
  withdraw(error: unknown): boolean {
    const isReplaceable = this.#outlet.mode === 'held'
    this.#outlet.cut(error)
    return isReplaceable
  }

  async #read(own: Response, body: ReadableStream<unknown>): Promise<void> {
    const { heldBytesMax } = this.#policy
    if (!this.isMuted) this.#outlet = new FetchOutlet(own.headers.get('content-length'))
    // The client of a stream waits for it.
    endOfTurn(() => this.#flow(own, reader))
    const reader = body.getReader()
    try {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        const chunk = checkedChunk(read.value)
        this.#copy.add(this.#copied(chunk))
        this.#outlet.add(this.#copied(chunk))
        if (this.#outlet.bytesPending > heldBytesMax) this.#flow(own, reader)
        if (this.#copy.isOver) await this.#outlet.room()
      }
    } finally {
      // What is held now stays held, whether all of it came or it broke off.
      this.#hasEnded = true
    }
    if (this.#refusal !== undefined) throw this.#refusal
  }

  #flow(own: Response, reader: ReadableStreamDefaultReader<unknown>): void {
    if (this.#hasEnded || this.#outlet.mode !== 'held') return
    if (this.#policy.flows) return this.#give(ownResponse(own, this.#outlet.flow(), this.#dress))
    this.#refusal = streamRefused()
    // Its reading ends here, and that it is refused is told there.
    reader.cancel(this.#refusal).catch(() => {})
  }

  /**
   * A copy, because whoever made the chunk may use its buffer again, and whoever is sent one may transfer its buffer elsewhere; but nothing
   * is copied of what is not kept.
   */
  #copied(chunk: Uint8Array): Uint8Array {
    return this.#copy.isOver ? chunk : new Uint8Array(chunk)
  }
}

function checkedChunk(chunk: unknown): Uint8Array {
  if (isBytes(chunk)) return chunk
  throw new TypeError(`the handler's stream gave a chunk of type ${typeof chunk}: a body's chunks are Uint8Arrays`)
}
