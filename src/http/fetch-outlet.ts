import { joined } from './answer-copy.ts'

/**
 * The way of an answer's body to its client. `held`: nothing has gone out, and all could still be replaced. `flowing`: it goes out as it is
 * produced, but for its end. `muted`: the client is gone or has another answer, and nothing goes out.
 */
export type OutletMode = 'held' | 'flowing' | 'muted'

/** Passes the body of an answer on, or holds it back. */
export class FetchOutlet {
  readonly #lengthDeclared: number
  #mode: OutletMode = 'held'
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  /** Come and not passed on: all of a held body, or the end of a flowing one. */
  #pending: Uint8Array[] = []
  #bytesPending = 0
  #bytesPassed = 0
  #roomMade: (() => void) | undefined

  /** @param contentLength as the handler declared it: with that many bytes a client takes an answer for complete, so that the last of them wait */
  constructor(contentLength: string | null) {
    this.#lengthDeclared = contentLength === null ? Infinity : Number(contentLength)
  }

  /** Where the body stands. */
  get mode(): OutletMode {
    return this.#mode
  }

  /** Bytes held back. */
  get bytesPending(): number {
    return this.#bytesPending
  }

  /** All that is held back, in one piece. */
  get pending(): Uint8Array {
    return joined(this.#pending)
  }

  /** Takes a chunk. */
  add(chunk: Uint8Array): void {
    if (this.#mode === 'muted') return
    if (this.#mode === 'flowing') return this.#pass(chunk)
    this.#pending.push(chunk)
    this.#bytesPending += chunk.length
  }

  /** Lets what there is flow, and what comes after. */
  flow(): ReadableStream<Uint8Array> {
    this.#mode = 'flowing'
    const chunks = this.#pending
    this.#pending = []
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller
        for (const chunk of chunks) this.#pass(chunk)
      },
      pull: () => this.#makeRoom(),
      cancel: () => this.mute(),
    })
  }

  /** Resolves when the client has taken what is queued for it; at once where nobody is to be waited for. */
  async room(): Promise<void> {
    if (this.#mode === 'flowing' && (this.#controller?.desiredSize ?? 1) <= 0)
      await new Promise<void>((resolve) => (this.#roomMade = resolve))
  }

  /** Sends all that is left of a flowing body, and its end. */
  finish(): void {
    if (this.#mode !== 'flowing') return
    for (const chunk of this.#pending) this.#controller?.enqueue(chunk)
    this.#controller?.close()
    this.mute()
  }

  /** Cuts a flowing body off: its client must not take it for complete. */
  cut(error: unknown): void {
    if (this.#mode === 'flowing') this.#controller?.error(error)
    this.mute()
  }

  /** Nothing goes out any more; whoever waits for room goes on. */
  mute(): void {
    this.#mode = 'muted'
    this.#pending = []
    this.#makeRoom()
  }

  #pass(chunk: Uint8Array): void {
    this.#bytesPassed += chunk.length
    if (this.#bytesPassed < this.#lengthDeclared) this.#controller?.enqueue(chunk)
    else this.#pending.push(chunk)
  }

  #makeRoom(): void {
    this.#roomMade?.()
    this.#roomMade = undefined
  }
}
