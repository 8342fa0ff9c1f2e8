import { endOfTurn } from './node-runtime.ts'
import type { NodeResponse } from './node-types.ts'
import type { Originals } from './node-patch.ts'

/** Called when a chunk has gone out, or cannot. */
export type Callback = (error?: Error | null) => void

/** A piece of an answer, as the handler wrote it or as a copy. */
export interface Chunk {
  readonly data: string | Uint8Array
  readonly encoding: unknown
  readonly callback: Callback | undefined
}

/**
 * The way of an answer to its client. `held`: nothing has gone out, and all could still be replaced. `flowing`: it goes out as it is
 * produced, but for its end. `muted`: the client is gone or has another answer, and nothing goes out.
 */
export type OutletMode = 'held' | 'flowing' | 'muted'

/** What an outlet goes by. */
export interface OutletOptions {
  readonly heldBytesMax: number
  /** Told of an answer that cannot be held back to its end, where no part of one may go out before that. */
  readonly refused: (() => void) | undefined
}

/** Passes an answer on, or holds it back: a small one that comes in one go as a whole, any other but for its end. */
export class Outlet {
  readonly #response: NodeResponse
  readonly #originals: Originals
  readonly #heldBytesMax: number
  readonly #refused: (() => void) | undefined
  #mode: OutletMode = 'held'
  #lengthDeclared = Infinity
  #bytesPassed = 0
  /** Written and not passed on: all of a held answer, or the end of a flowing one. */
  #pending: Chunk[] = []
  #bytesPending = 0
  #isTurnAwaited = false
  #isStopped = false

  /** @param originals the response's own methods */
  constructor(response: NodeResponse, originals: Originals, { heldBytesMax, refused }: OutletOptions) {
    this.#response = response
    this.#originals = originals
    this.#heldBytesMax = heldBytesMax
    this.#refused = refused
  }

  /** Where the answer stands. */
  get mode(): OutletMode {
    return this.#mode
  }

  /** Told of the answer's `Content-Length`: with that many bytes a client takes it for complete, so that the last of them wait. */
  declare(length: number): void {
    this.#lengthDeclared = length
  }

  /** Takes a chunk; false when the writer should wait for `drain`. */
  add(chunk: Chunk): boolean {
    switch (this.#mode) {
      case 'muted':
        later(chunk.callback)
        return true
      case 'flowing':
        return this.#pass(chunk)
      case 'held':
        return this.#hold(chunk)
    }
  }

  /** Lets what there is flow unless the answer ends within this turn: the client of a stream waits for it. */
  flowSoon(): void {
    if (this.#isTurnAwaited || this.#mode !== 'held') return
    this.#isTurnAwaited = true
    endOfTurn(() => {
      if (!this.#isStopped && this.#mode === 'held') this.#flow()
    })
  }

  /** The answer has ended or broken off: what is held stays held. */
  stop(): void {
    this.#isStopped = true
  }

  /** Sends all that is left. */
  finish({ data, encoding, callback }: Chunk): void {
    const { write, end } = this.#originals
    for (const chunk of this.#pending) write.call(this.#response, chunk.data, chunk.encoding, chunk.callback)
    this.#pending = []
    end.call(this.#response, data, encoding, callback)
  }

  /** Nothing goes out any more; whoever waits for what is pending goes on. */
  mute(): void {
    const wasFlowing = this.#mode === 'flowing'
    this.#mode = 'muted'
    for (const { callback } of this.#pending) later(callback)
    this.#pending = []
    if (wasFlowing && !this.#isStopped) this.#originals.emit.call(this.#response, 'drain')
  }

  #hold(chunk: Chunk): boolean {
    this.#pending.push(chunk)
    this.#bytesPending += chunk.data.length
    if (this.#bytesPending > this.#heldBytesMax) return this.#flow()
    this.flowSoon()
    return true
  }

  #flow(): boolean {
    if (this.#refused !== undefined) {
      this.#refused()
      return true
    }
    this.#mode = 'flowing'
    const chunks = this.#pending
    this.#pending = []
    if (chunks.length === 0) this.#originals.flushHeaders.call(this.#response)
    let hasRoom = true
    for (const chunk of chunks) hasRoom = this.#pass(chunk)
    return hasRoom
  }

  #pass(chunk: Chunk): boolean {
    this.#bytesPassed += chunk.data.length
    if (this.#bytesPassed < this.#lengthDeclared)
      return this.#originals.write.call(this.#response, chunk.data, chunk.encoding, chunk.callback)
    // Whoever waits for this chunk before it ends the answer must not wait for the end.
    later(chunk.callback)
    this.#pending.push({ ...chunk, callback: undefined })
    return true
  }
}

/** Calls back when the caller is through. */
export function later(callback: Callback | undefined): void {
  if (callback !== undefined) queueMicrotask(callback)
}
