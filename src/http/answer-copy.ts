import { encodeAnswer, encodeUnkept, type AnswerHead } from './answer.ts'
import { outcomeBytes } from '../core/outcome.ts'
import type { Outcome } from '../core/record.ts'

const noBytes = new Uint8Array(0)

/** The copy of an answer's body that is taken while it goes out, bounded: beyond the bound it is let go, and the outcome is not kept. */
export class AnswerCopy {
  readonly #bytesMax: number
  #chunks: Uint8Array[] = []
  #bytes = 0

  /** @param bytesMax of the outcome, headers included */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** More has come than is kept. */
  get isOver(): boolean {
    return this.#bytes > this.#bytesMax
  }

  /** @param chunk bytes that nobody changes any more */
  add(chunk: Uint8Array): void {
    this.#bytes += chunk.length
    if (this.isOver) this.#chunks = []
    else this.#chunks.push(chunk)
  }

  /** What is kept of the answer. */
  outcome(head: AnswerHead): Outcome {
    if (this.isOver) return encodeUnkept(head)
    const outcome = encodeAnswer({ ...head, body: hasBody(head.status) ? joined(this.#chunks) : noBytes })
    return outcomeBytes(outcome) > this.#bytesMax ? encodeUnkept(head) : outcome
  }
}

/** Whether an answer with this status has a body at all (RFC 9110 §6.4.1). */
export function hasBody(status: number): boolean {
  return status !== 204 && status !== 304
}

/** The chunks as one; a single one is not copied. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [first = noBytes] = chunks
  if (chunks.length <= 1) return first
  const whole = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}
