import { limits } from '../core/limits.ts'
import type { ExecuteResult } from './once.ts'
import type { Platform } from './platform.ts'

/** A call as its flight knows it. */
export interface FlightCall {
  readonly fingerprint: string
  /** How long it waits for a running operation. Milliseconds. */
  readonly waitMs: number
  /** Its caller's; a call whose caller is gone is dropped. */
  readonly signal: AbortSignal | undefined
}

/** What a follower is told: its result, or that the lead is now its own. */
export type News = ExecuteResult | 'lead'

interface Follower {
  readonly call: FlightCall
  readonly tell: (news: News) => void
  readonly fail: (error: unknown) => void
}

/**
 * The calls of one operation in this process. The first leads: it claims, and runs or waits; the others follow it without a
 * store call of their own. When the leader ends with an outcome all have it; otherwise the lead goes to the next in line.
 */
export class Flight {
  readonly id: string
  readonly #flights: Flights
  /** Made for the first follower: most operations are called once at a time. */
  #followers: Set<Follower> | undefined
  #fingerprint: string
  /** The operation is known to be running, under the leader's fingerprint. */
  #running = false

  constructor(id: string, fingerprint: string, flights: Flights) {
    this.id = id
    this.#fingerprint = fingerprint
    this.#flights = flights
  }

  /** Followers at present. */
  get followers(): number {
    return this.#followers?.size ?? 0
  }

  /** Waits for the leader, at most as long as the call may; `onWait` is told when the answer is not there at once. */
  follow(call: FlightCall, onWait: () => void): Promise<News> {
    const now = this.#running ? this.#whileRunning(call) : undefined
    if (now !== undefined) return Promise.resolve(now)
    if (!this.#flights.admit(this.followers)) return Promise.resolve(busy())
    onWait()
    return new Promise((resolve, reject) => this.#add(call, resolve, reject))
  }

  #add(call: FlightCall, resolve: (news: News) => void, reject: (error: unknown) => void): void {
    const leave = (): void => {
      this.#followers?.delete(follower)
      this.#flights.leave()
      cancel()
      call.signal?.removeEventListener('abort', abort)
    }
    const tell = (news: News): void => {
      leave()
      resolve(news)
    }
    const fail = (error: unknown): void => {
      leave()
      reject(error)
    }
    const abort = (): void => fail(call.signal?.reason)
    const follower: Follower = { call, tell, fail }
    // A call that does not wait for a running operation still learns whether it is running: that is bounded by the claim.
    const cancel = call.waitMs === 0 ? () => {} : this.#flights.platform.timer(call.waitMs, () => tell(busy()))
    call.signal?.addEventListener('abort', abort, { once: true })
    this.#followers ??= new Set()
    this.#followers.add(follower)
  }

  /** The record is known to be running under the leader's fingerprint: who has another, or does not wait, is answered at once. */
  nowRunning(): void {
    if (this.#running) return
    this.#running = true
    for (const { call, tell } of [...(this.#followers ?? [])]) {
      const news = this.#whileRunning(call)
      if (news !== undefined) tell(news)
    }
  }

  /** The operation's state is known for the leader's fingerprint, and is every follower's answer. */
  landed(result: ExecuteResult): void {
    this.#flights.remove(this)
    const shared = result.state === 'completed' ? { ...result, replayed: true } : result
    for (const { call, tell } of [...(this.#followers ?? [])]) tell(this.#isOther(call) ? { state: 'mismatch' } : shared)
  }

  /** The leader could not reach the store: neither could its followers. */
  failed(error: unknown): void {
    this.#flights.remove(this)
    for (const { fail } of [...(this.#followers ?? [])]) fail(error)
  }

  /** The leader leaves without an answer for the others: the next in line leads. */
  handOver(): void {
    const [next] = this.#followers ?? []
    if (next === undefined) return this.#flights.remove(this)
    this.#running = false
    this.#fingerprint = next.call.fingerprint
    next.tell('lead')
  }

  #whileRunning(call: FlightCall): News | undefined {
    if (this.#isOther(call)) return { state: 'mismatch' }
    return call.waitMs === 0 ? busy() : undefined
  }

  #isOther(call: FlightCall): boolean {
    return call.fingerprint !== this.#fingerprint
  }
}

/** The flights of a process, and the number of calls that wait in it. */
export class Flights {
  readonly platform: Platform
  readonly #flights = new Map<string, Flight>()
  readonly #waitersMax: number
  #waiters = 0

  constructor(platform: Platform, waitersMax: number) {
    this.platform = platform
    this.#waitersMax = waitersMax
  }

  get(id: string): Flight | undefined {
    return this.#flights.get(id)
  }

  /** A new flight whose leader is the caller. */
  begin(id: string, fingerprint: string): Flight {
    const flight = new Flight(id, fingerprint, this)
    this.#flights.set(id, flight)
    return flight
  }

  remove(flight: Flight): void {
    this.#flights.delete(flight.id)
  }

  /** Takes a waiter's place, if there is one; `others` wait for the same operation. */
  admit(others: number): boolean {
    if (this.#waiters >= this.#waitersMax || others >= limits.waitersPerOperationMax) return false
    this.#waiters += 1
    return true
  }

  /** Gives a waiter's place back. */
  leave(): void {
    this.#waiters -= 1
  }
}

/** The answer to a call whose wait is over. */
export function busy(attempted = false): Extract<ExecuteResult, { state: 'busy' }> {
  return { state: 'busy', retryAfterMs: limits.retryAfterMs, attempted }
}
