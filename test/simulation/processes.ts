import { onceward, type InterruptedRule, type Once, type OncewardEvent, type Store } from 'onceward'
import { Host } from './host.ts'
import { NetworkStore, type Weather } from './network.ts'
import type { Counts } from './counts.ts'
import type { Random } from './random.ts'
import type { VirtualTime } from '../engine/virtual-time.ts'

/** A process, and the engine in it. */
export interface Process {
  readonly host: Host
  readonly once: Once
}

/** What the processes of a world need to know. */
export interface ProcessesOptions {
  readonly time: VirtualTime
  readonly random: Random
  readonly store: Store
  readonly interrupted: InterruptedRule
  readonly counts: Counts
  readonly log: (what: string) => void
}

const sunny: Weather = { lost: 0, late: 0, broken: 0 }

/** The processes of a world, and what goes wrong with them until the storm is over. */
export class Processes {
  readonly leaseMs: number
  readonly storeTimeoutMs: number
  readonly #options: ProcessesOptions
  readonly #alive: Process[] = []
  readonly #hosts = new Map<string, Host>()
  readonly #synchronous: boolean
  readonly #watch: boolean
  readonly #stormUntil: number
  readonly #storm: Weather

  constructor(options: ProcessesOptions) {
    const { random, time } = options
    this.#options = options
    this.leaseMs = random.pick([400, 700, 1_500])
    this.storeTimeoutMs = random.pick([150, 400, 2_500])
    this.#synchronous = random.chance(0.3)
    this.#watch = random.chance(0.5)
    this.#stormUntil = time.now + random.between(1_000, 6_000)
    const lost = random.pick([0, 0.02, 0.1])
    this.#storm = { lost, late: random.pick([0, 0.02, 0.1]), broken: random.pick([0, 0.02, 0.1]) }
    for (let left = random.between(2, 3); left > 0; left -= 1) this.#birth()
  }

  get isStormy(): boolean {
    return this.#options.time.now < this.#stormUntil
  }

  /** One of those that are there; nothing while all have crashed. */
  any(): Process | undefined {
    return this.#alive.length === 0 ? undefined : this.#options.random.pick(this.#alive)
  }

  /** Whose the attempt of this owner is, alive or not. */
  hostOf(owner: string): Host | undefined {
    return this.#hosts.get(owner.split('#')[0] ?? '')
  }

  /** Things go wrong until the storm is over. */
  async chaos(): Promise<void> {
    const { random } = this.#options
    const severity = random.pick([0.2, 1, 3])
    while (this.isStormy) {
      await this.#sleep(random.between(50, 1_500) / severity)
      const process = this.any()
      const ms = random.chance(0.1) ? random.between(5_000, 9_000) : random.between(50, this.leaseMs * 3)
      if (process !== undefined && this.isStormy) this.#strike(process, ms)
    }
  }

  #strike(process: Process, ms: number): void {
    const { random, counts, log } = this.#options
    const { host } = process
    const what = random.pick(['stalls', 'stalls', 'cuts', 'cuts', 'crashes'] as const)
    log(`${what} ${host.name} for ${ms} ms`)
    counts[what] += 1
    if (what === 'stalls') return host.stall(ms)
    if (what === 'cuts') return host.cutOff(ms)
    host.crash()
    this.#alive.splice(this.#alive.indexOf(process), 1)
    this.#options.time.timer(ms, () => this.#birth())
  }

  #birth(): void {
    const { time, random, store: inner, interrupted } = this.#options
    const host = new Host(`p${this.#hosts.size + 1}`, time, random)
    const weather = (): Weather => (this.isStormy ? this.#storm : sunny)
    const store = new NetworkStore(inner, host, { time, random, weather, synchronous: this.#synchronous, watch: this.#watch })
    const once = onceward({
      store,
      lease: this.leaseMs,
      storeTimeout: this.storeTimeoutMs,
      interrupted,
      attemptsMax: 6,
      platform: host.platform(),
      onEvent: this.#count,
    })
    this.#alive.push({ host, once })
    this.#hosts.set(host.name, host)
  }

  readonly #count = ({ type }: OncewardEvent): void => {
    const { counts } = this.#options
    if (type === 'fenced') counts.fenced += 1
    if (type === 'replayed') counts.replays += 1
    if (type === 'interrupted') counts.interruptions += 1
    if (type === 'resolved') counts.resolved += 1
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.time.timer(ms, resolve))
  }
}
