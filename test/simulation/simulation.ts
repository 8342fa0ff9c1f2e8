import { createHash } from 'node:crypto'
import { memory } from 'onceward/memory'
import { operationId } from '../../src/core/operation.ts'
import { VirtualTime } from '../engine/virtual-time.ts'
import { noCounts, type Counts } from './counts.ts'
import { Ledger } from './ledger.ts'
import { Observer, textOf, type Grant } from './observer.ts'
import { Processes, type Process } from './processes.ts'
import { Random } from './random.ts'
import type { Attempt, Ending, ExecuteResult, InterruptedRule, Store } from 'onceward'
import type { Host } from './host.ts'

/** What a run came to. */
export interface Report {
  readonly seed: number
  /** What must never be, and was. Empty when all is well. */
  readonly violations: readonly string[]
  /** What happened, in order. */
  readonly trace: readonly string[]
  readonly counts: Counts
}

/** Variants of the world, to show that the checks see what they are for. */
export interface Variant {
  /** Stands between the engines and the observer, who does not see what it does. */
  readonly above?: (inner: Store) => Store
  /** Stands between the observer and the store. */
  readonly beneath?: (inner: Store) => Store
  /** The rule for interrupted attempts. @default by chance */
  readonly interrupted?: InterruptedRule
}

/** Somebody who wants an operation done, and asks until it is answered. */
interface Client {
  readonly name: string
  readonly key: string
  readonly input: 'usual' | 'other'
  /** When it begins to ask. Milliseconds from the beginning. */
  readonly afterMs: number
}

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex')

/** Runs the world that follows from a seed, until every client has its answer, and tells what was wrong. */
export async function simulate(seed: number, variant: Variant = {}): Promise<Report> {
  const world = new World(seed, variant)
  await world.run()
  return { seed, violations: world.violations, trace: world.trace, counts: world.counts }
}

class World {
  readonly violations: string[] = []
  readonly trace: string[] = []
  readonly counts = noCounts()
  readonly #time = new VirtualTime()
  readonly #random: Random
  readonly #observer: Observer
  readonly #processes: Processes
  readonly #ledger: Ledger
  readonly #interrupted: InterruptedRule

  constructor(seed: number, variant: Variant) {
    const [time, random, memoryStore] = [this.#time, new Random(seed), memory({ clockOffsetMs: this.#time.clockOffsetMs })]
    const { violation, log, counts } = this
    this.#random = random
    this.#interrupted = variant.interrupted ?? (random.chance(0.3) ? 'hold' : 'retry')
    this.#observer = new Observer(variant.beneath?.(memoryStore) ?? memoryStore, { time, violation, log, lapsed: this.#onLapse })
    this.#ledger = new Ledger(violation)
    const store = variant.above?.(this.#observer) ?? this.#observer
    this.#processes = new Processes({ time, random, store, interrupted: this.#interrupted, counts, log })
  }

  async run(): Promise<void> {
    const clients = this.#clients().map((client) => this.#live(client))
    let done = false
    const all = Promise.all([...clients, this.#processes.chaos()])
      .then(() => this.#aftermath())
      .then(
        () => (done = true),
        (error: unknown) => this.violation(`the simulation failed: ${String(error)}`),
      )
    const deadline = this.#time.now + 400_000
    await this.#time.turn()
    while (!done && this.violations.length === 0 && (await this.#time.step(deadline)));
    if (this.violations.length > 0) return
    if (!done) return this.violation('a client was never answered')
    await all
  }

  readonly violation = (what: string): void => {
    this.log(`VIOLATION ${what}`)
    this.violations.push(what)
  }

  readonly log = (what: string): void => {
    this.trace.push(`${this.#time.now - 1_000_000} ms: ${what}`)
  }

  // Clients

  #clients(): Client[] {
    const keys = Array.from({ length: this.#random.between(1, 4) }, (_, index) => `k${index + 1}`)
    return Array.from({ length: this.#random.between(3, 12) }, (_, index) => ({
      name: `c${index + 1}`,
      key: this.#random.pick(keys),
      input: this.#random.chance(0.05) ? 'other' : 'usual',
      afterMs: this.#random.between(0, 4_000),
    }))
  }

  /** Asks with the same key until it is answered, by whichever process it reaches. */
  async #live(client: Client): Promise<void> {
    await this.#sleep(client.afterMs)
    for (;;) {
      const answer = await this.#ask(client)
      this.log(`${client.name} ${client.key}: ${answer}`)
      if (answer.startsWith('outcome ') || answer === 'mismatch') return this.#ledger.answered(client, answer)
      await this.#sleep(this.#random.between(20, 800))
    }
  }

  async #ask(client: Client): Promise<string> {
    const process = this.#processes.any()
    if (process === undefined) return 'no process'
    const patienceMs = this.#random.chance(0.8) ? this.#random.between(100, 3_000) : 12_000
    const gone = new AbortController()
    const isHeard = !this.#processes.isStormy || this.#random.chance(0.9)
    const called = this.#call(client, process, this.#random.chance(0.3) ? gone.signal : undefined)
    // A client that has a crashed process, or a lost answer, in front of it gives up some time.
    const answer = await Promise.race([
      isHeard ? called : new Promise<never>(() => {}),
      this.#sleep(patienceMs).then(() => 'no answer'),
    ])
    gone.abort(new Error('client gone'))
    if (answer === 'held' && this.#random.chance(0.5)) await this.#resolve(client, process)
    return answer
  }

  #call({ key, input }: Client, { host, once }: Process, signal: AbortSignal | undefined): Promise<string> {
    const wait = this.#random.chance(0.7) ? 0 : this.#random.between(50, 1_500)
    const request = { ...operation(key), fingerprint: sha256(input), wait, ...(signal && { signal }) }
    return new Promise((resolve) => {
      host.run(() => {
        once
          .execute(request, (attempt) => this.#handle(key, host, attempt))
          .then(
            (result) => resolve(this.#told(result)),
            (error: unknown) => resolve(`error ${error instanceof Error ? error.message.slice(0, 60) : String(error)}`),
          )
      })
    })
  }

  #told(result: ExecuteResult): string {
    if (result.state === 'mismatch') this.counts.mismatches += 1
    if (result.state === 'held') this.counts.held += 1
    if (result.state !== 'completed') return result.state
    if (!result.settled) this.counts.unsettled += 1
    // Not confirmed by the store: the one answer that may differ from what is recorded in the end.
    return `${result.settled ? 'outcome' : 'unsettled'} ${textOf(result.outcome.body)}`
  }

  async #resolve({ name, key }: Client, { host, once }: Process): Promise<void> {
    const outcome = `resolved by ${name}`
    const resolving = new Promise<void>((resolve) => {
      const answered = (): void => resolve()
      host.run(() => {
        once.resolve(operation(key), { outcome }, { actor: name, reason: 'held' }).then(answered, answered)
      })
    })
    await Promise.race([resolving, this.#sleep(3_000)])
  }

  // Effects

  /** The handler: its effect is that it began at all. It takes a while, and fails now and then as long as the storm lasts. */
  async #handle(key: string, host: Host, attempt: Attempt): Promise<Ending> {
    const value = this.#effect(key, host, attempt)
    const obedient = this.#random.chance(0.5)
    for (let slices = this.#random.between(0, 4); slices > 0; slices -= 1) {
      await host.sleep(this.#random.between(0, this.#processes.leaseMs / 2))
      if (obedient) attempt.signal.throwIfAborted()
    }
    if (this.#processes.isStormy && this.#random.chance(0.15)) throw new Error('handler failed')
    if (this.#processes.isStormy && this.#random.chance(0.1)) return { state: 'interrupt' }
    return { state: 'complete', outcome: { kept: true, meta: 'text', body: Buffer.from(value) } }
  }

  #effect(key: string, host: Host, attempt: Attempt): string {
    const execution = {
      key,
      process: host.name,
      attempt: attempt.number,
      value: `effect ${(this.counts.executions += 1)} of ${key}`,
    }
    this.log(`${execution.value} in ${host.name}, attempt ${attempt.number}`)
    this.#ledger.executed(execution, this.#observer.seen(idOf(key)).grant, this.#time.now)
    return execution.value
  }

  readonly #onLapse = (lapsed: Grant): void => {
    this.counts.takeovers += 1
    const host = this.#processes.hostOf(lapsed.owner)
    // A claim may also be granted to a process that has given it up, and whose giving it back is on its way.
    const isExcused = host === undefined || host.troubledAt >= lapsed.renewedAt - this.#processes.storeTimeoutMs - 6_000
    if (!isExcused) this.violation(`the lease of ${lapsed.owner} lapsed, though nothing was wrong with its process`)
  }

  // The end

  /** Late attempts end, and change nothing: every key still has the outcome that every client was told. */
  async #aftermath(): Promise<void> {
    await this.#sleep(20_000)
    for (const key of this.#ledger.keys) this.#ledger.check(key, this.#observer.seen(idOf(key)), this.#interrupted)
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#time.timer(ms, resolve))
  }
}

function idOf(key: string): string {
  return operationId(operation(key), sha256)
}

function operation(key: string): { scope: string; name: string; key: string } {
  return { scope: 'tenant', name: 'charge', key }
}
