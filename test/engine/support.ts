import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { onceward, type Once, type OncewardEvent, type OncewardOptions, type Store } from 'onceward'
import { memory } from 'onceward/memory'
import { FaultyStore, type FaultyOptions } from './faulty-store.ts'
import type { VirtualTime } from './virtual-time.ts'

/** An operation like any other. */
export const charge = { scope: 'tenant-1', name: 'charge', key: 'k-1' } as const

/** No test of the file leaves a rejected promise that nobody looks at. */
export function assertNoUnhandledRejections(): void {
  const reasons: unknown[] = []
  const count = (reason: unknown): void => void reasons.push(reason)
  before(() => void process.on('unhandledRejection', count))
  after(() => {
    process.off('unhandledRejection', count)
    assert.deepEqual(reasons, [], 'no promise was rejected with nobody looking')
  })
}

/** An engine on the memory store. */
export function inMemory(options: Partial<OncewardOptions> = {}): Once {
  return onceward({ store: memory(), ...options })
}

/** An engine in virtual time, its store that can go wrong, and what the engine told its listener. */
export interface Subject {
  readonly once: Once
  readonly store: FaultyStore
  readonly events: OncewardEvent[]
}

/** An engine in virtual time on a memory store that goes by the same clock, or on the store given. */
export function inVirtualTime(time: VirtualTime, options: Partial<OncewardOptions> = {}): Subject {
  const store = options.store instanceof FaultyStore ? options.store : faultyMemory(time)
  const events: OncewardEvent[] = []
  const onEvent = (event: OncewardEvent): void => void events.push(event)
  return { once: onceward({ onEvent, platform: time.platform(), ...options, store }), store, events }
}

/** A memory store that goes by this time and can go wrong; the store given instead, for another way to one and the same. */
export function faultyMemory(time: VirtualTime, inner: Store = virtualMemory(time), options: FaultyOptions = {}): FaultyStore {
  return new FaultyStore(inner, { sleep: (ms) => new Promise((resolve) => time.timer(ms, resolve)), ...options })
}

/** A memory store that goes by this time. */
export function virtualMemory(time: VirtualTime): Store {
  return memory({ clockOffsetMs: time.clockOffsetMs })
}

/** A handler that counts its runs, and ends each when told to. */
export class Handler<Value> {
  /** One for each run, in order. */
  readonly runs: PromiseWithResolvers<Value>[] = []
  #started: (() => void)[] = []

  readonly work = (): Promise<Value> => {
    const run = Promise.withResolvers<Value>()
    this.runs.push(run)
    for (const started of this.#started.splice(0)) started()
    return run.promise
  }

  get count(): number {
    return this.runs.length
  }

  /** Resolves when the nth run has begun, from 1. */
  async started(nth = 1): Promise<void> {
    while (this.runs.length < nth) await new Promise<void>((resolve) => this.#started.push(resolve))
  }

  /** The nth run, from 1. */
  run(nth = 1): PromiseWithResolvers<Value> {
    const run = this.runs[nth - 1]
    assert.ok(run, `run ${nth} has begun`)
    return run
  }
}
