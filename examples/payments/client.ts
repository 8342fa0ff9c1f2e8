import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './exchange.ts'
import { LossyNetwork } from './lossy-network.ts'
import type { Send, Traffic } from './lossy-network.ts'
import { seededRandom } from './random.ts'

/** One payment that is to happen once, however often it has to be sent: its key is drawn once, before the first attempt. */
export interface Payment {
  readonly key: string
  readonly customer: string
  /** In cents. */
  readonly amount: number
  readonly currency: 'EUR'
}

/** What one run of all payments through the network came to. */
export interface Run extends Readonly<Traffic> {
  readonly intended: number
  /** By the API's own books, in charges and in cents. */
  readonly charges: number
  readonly cents: number
}

/** How a run is made. */
export interface RunOptions {
  /** Where the API is: `http://127.0.0.1:3000`. */
  readonly origin: string
  readonly payments: readonly Payment[]
  readonly seed: number
  /** Aborts when the run is to end early; the run then rejects with its reason. */
  readonly stop: AbortSignal
  /** Called after each payment that has been answered. */
  readonly onAnswered: () => void
}

/** Payments under way at once. */
const CONCURRENCY = 50

/** How long the client waits for its first answer; a third as long again after each attempt, up to the greatest. */
const TIMEOUT_MS = 200
const TIMEOUT_MS_MAX = 2_000

/** The longest pause before the second attempt; twice as long after each, up to the greatest. The pause itself is drawn. */
const PAUSE_MS = 20
const PAUSE_MS_MAX = 200

/** Beyond this the API is not there; by chance alone nobody comes near. */
const ATTEMPTS_MAX = 40

/** As many payments as asked for, by one customer; the amounts are the seed's. */
export function drawPayments(count: number, customer: string, seed: number): Payment[] {
  const random = seededRandom(seed)
  const cents = (): number => 100 + Math.floor(random() * 9_900)
  return Array.from({ length: count }, () => ({ key: randomUUID(), customer, amount: cents(), currency: 'EUR' }))
}

/** Makes all payments through a lossy network, each tried until it is answered, then reads the API's books. */
export async function makePayments({ origin, payments, seed, stop, onAnswered }: RunOptions): Promise<Run> {
  const network = new LossyNetwork(seed)
  const queue = payments.entries()
  const worker = async (): Promise<void> => {
    for (const [index, payment] of queue) {
      await pay(`${origin}/charges`, payment, { send: network.line(index), random: seededRandom(~seed, index), stop })
      onAnswered()
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  await network.settled()
  const books = await booksOf(origin, payments[0]?.customer ?? '')
  return { intended: payments.length, ...network.traffic, ...books }
}

interface Line {
  readonly send: Send
  /** For the pauses between attempts. */
  readonly random: () => number
  readonly stop: AbortSignal
}

async function pay(url: string, payment: Payment, { send, random, stop }: Line): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    stop.throwIfAborted()
    if (await isAnswered(url, payment, send, attempt)) return
    await sleep(random() * Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** (attempt - 1)))
  }
  throw new Error(`${url} did not answer payment ${payment.key} in ${ATTEMPTS_MAX} attempts`)
}

/** One attempt: always the same key, always the same body. */
async function isAnswered(url: string, { key, ...body }: Payment, send: Send, attempt: number): Promise<boolean> {
  const timeoutMs = Math.min(TIMEOUT_MS_MAX, Math.round(TIMEOUT_MS * 1.33 ** (attempt - 1)))
  const headers = { 'content-type': 'application/json', 'idempotency-key': key }
  const answer = await answerOf(send({ url, headers, body: JSON.stringify(body) }, AbortSignal.timeout(timeoutMs)))
  if (answer === undefined || isWorthAnotherAttempt(answer.status)) return false
  if (answer.status !== 201) throw new Error(`${url} answered ${answer.status}: ${answer.body}`)
  return true
}

async function answerOf(sent: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await sent
  } catch {
    // No answer in time, or a broken connection: whether the charge was made is unknown, which is what the key is for.
    return undefined
  }
}

/** Still in progress elsewhere (409), too early, too many, or the server's own trouble. */
function isWorthAnotherAttempt(status: number): boolean {
  return status === 409 || status === 425 || status === 429 || status >= 500
}

async function booksOf(origin: string, customer: string): Promise<{ charges: number; cents: number }> {
  const response = await fetch(`${origin}/charges?customer=${encodeURIComponent(customer)}`)
  const { count, sums }: { count: number; sums: { EUR?: number } } = JSON.parse(await response.text())
  return { charges: count, cents: sums.EUR ?? 0 }
}
