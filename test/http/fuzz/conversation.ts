import { brokenFrom, requestFrom, type FuzzRequest } from './request.ts'
import { Random } from '../../simulation/random.ts'

/** What one client says on one connection, and how. */
export interface Conversation {
  readonly requests: readonly FuzzRequest[]
  /** Pieces of the whole, in order, each written by itself. */
  readonly pieces: readonly Buffer[]
  /** Between two pieces. */
  readonly pauseMs: number
  /** `wait`: for every answer; `halfClose`: after the last byte; `abort`: after the last piece, without an answer. */
  readonly end: 'wait' | 'halfClose' | 'abort'
}

/** The conversation of this number under this seed: the same each time. */
export function conversationOf(seed: number, number: number): Conversation {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ number)
  const count = random.chance(0.75) ? 1 : random.between(2, 5)
  const first = requestFrom(random)
  // Repeats of the first, and others: what a client pipelines.
  const sound = Array.from({ length: count }, (_, index) => (index === 0 || random.chance(0.4) ? first : requestFrom(random)))
  const requests = random.chance(0.2) ? brokenOff(random.chance(0.5) ? [] : sound, random) : sound
  const bytes = Buffer.concat(requests.map((request) => (requests.length > 1 ? unexpecting(request.bytes) : request.bytes)))
  const end = random.chance(0.08) ? 'abort' : random.chance(0.05) ? 'halfClose' : 'wait'
  const sent = end === 'abort' ? bytes.subarray(0, random.between(0, bytes.length)) : bytes
  return { requests, pieces: pieces(sent, random), pauseMs: random.pick([0, 0, 1, 5]), end }
}

/** Node answers an `Expect` behind another request in the middle of the answer to it, with this library and without: nothing can be read then. */
function unexpecting(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replace('Expect: 100-continue\r\n', ''), 'latin1')
}

/** Where the server finds something broken it gives up the connection, with all that it has not answered yet. */
function brokenOff(before: readonly FuzzRequest[], random: Random): readonly FuzzRequest[] {
  return [...before.map((request) => ({ ...request, expectation: 'broken' as const })), brokenFrom(random)]
}

function pieces(bytes: Buffer, random: Random): readonly Buffer[] {
  const count = random.chance(0.7) ? 1 : random.between(2, 12)
  const cuts = Array.from({ length: count - 1 }, () => random.between(0, bytes.length)).toSorted((a, b) => a - b)
  return [0, ...cuts]
    .map((start, index) => bytes.subarray(start, cuts[index] ?? bytes.length))
    .filter((piece) => piece.length > 0)
}
