import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { exchange } from './exchange.ts'
import type { Answer, Message } from './exchange.ts'
import { seededRandom } from './random.ts'

/** Sends one message and gives its answer, or rejects with the signal's reason when the client will not wait any longer. */
export type Send = (message: Message, signal: AbortSignal) => Promise<Answer>

/** What has happened on the network so far, in requests or answers. */
export interface Traffic {
  /** Requests handed over by the client. */
  sent: number
  /** Requests that never arrived. */
  requestsLost: number
  /** Requests that arrived twice. */
  doubled: number
  /** Requests that arrived late; some of them after the client had sent another. */
  delayed: number
  /** Requests that reached the server: sent, less those lost, plus those doubled. */
  reached: number
  /** Answers that were given and did not reach the client: dropped, or come when it no longer waited. */
  answersLost: number
}

type Fate = 'request lost' | 'answer lost' | 'doubled' | 'delayed' | 'delivered'

/** The share of requests that meets each fate; all others are delivered. */
export const FATES: readonly (readonly [Fate, number])[] = [
  ['request lost', 0.12],
  ['answer lost', 0.15],
  ['doubled', 0.08],
  ['delayed', 0.1],
]

/** The longest delay. Longer than a client waits at first, so that some late requests meet their own retry. */
const DELAY_MS_MAX = 300

/** The longest time between a request and its double; half of all doubles arrive together. */
const DOUBLE_GAP_MS_MAX = 20

/** A network that loses, doubles and delays what it carries over real sockets, as its seed tells it to. */
export class LossyNetwork {
  readonly traffic: Traffic = { sent: 0, requestsLost: 0, doubled: 0, delayed: 0, reached: 0, answersLost: 0 }
  readonly #seed: number
  readonly #sockets = new Agent({ keepAlive: true })
  readonly #underway = new Set<Promise<unknown>>()

  constructor(seed: number) {
    this.#seed = seed
  }

  /** A line of one client, with chances of its own: the order in which other lines are used does not change its fates. */
  line(number: number): Send {
    const random = seededRandom(this.#seed, number)
    return (message, signal) => {
      this.traffic.sent += 1
      const journey = this.#track(this.#carry(random, () => this.#deliver(message)))
      return this.#answered(journey, signal)
    }
  }

  /** Resolves when nothing is under way any more, so that what arrives late is counted too. */
  async settled(): Promise<void> {
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway)
  }

  /** Meets one fate; undefined when no answer comes back. */
  async #carry(random: () => number, deliver: () => Promise<Answer>): Promise<Answer | undefined> {
    switch (fateOf(random())) {
      case 'request lost':
        this.traffic.requestsLost += 1
        return undefined
      case 'answer lost':
        await deliver()
        this.traffic.answersLost += 1
        return undefined
      case 'doubled':
        this.traffic.doubled += 1
        void this.#track(this.#double(Math.max(0, 2 * random() - 1) * DOUBLE_GAP_MS_MAX, deliver))
        return deliver()
      case 'delayed':
        this.traffic.delayed += 1
        await sleep(random() * DELAY_MS_MAX)
        return deliver()
      case 'delivered':
        return deliver()
    }
  }

  async #double(gapMs: number, deliver: () => Promise<Answer>): Promise<void> {
    if (gapMs > 0) await sleep(gapMs)
    await deliver()
  }

  /** Without the client's signal: a client that stops waiting does not call its request back. */
  #deliver(message: Message): Promise<Answer> {
    this.traffic.reached += 1
    return exchange(this.#sockets, message)
  }

  #answered(journey: Promise<Answer | undefined>, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      const arrive = async (): Promise<void> => {
        const answer = await journey
        if (!answer) return
        if (signal.aborted) this.traffic.answersLost += 1
        else resolve(answer)
      }
      this.#track(arrive()).catch(reject)
    })
  }

  #track<Value>(journey: Promise<Value>): Promise<Value> {
    this.#underway.add(journey)
    const forget = (): boolean => this.#underway.delete(journey)
    journey.then(forget, forget)
    return journey
  }
}

function fateOf(draw: number): Fate {
  let rest = draw
  for (const [fate, share] of FATES) {
    if (rest < share) return fate
    rest -= share
  }
  return 'delivered'
}
