import { setTimeout as pause } from 'node:timers/promises'
import type { Link } from './redis-clients.ts'

/** How long opening waits for the subscription: without it the engine polls. Milliseconds. */
const subscribeMs = 1_000

/** Who waits for a change of which record, on the messages of one channel. */
export class Watchers {
  readonly #link: Link
  readonly #channel: string
  readonly #watchers = new Map<string, Set<() => void>>()
  #end: (() => void) | undefined

  constructor(link: Link, channel: string) {
    this.#link = link
    this.#channel = channel
  }

  /** Subscribes, on a connection of its own. Never fails: one that cannot is a store that is polled. */
  async open(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const giveUp = new AbortController()
    this.#end?.()
    this.#end = this.#link.subscribe(this.#channel, {
      message: (key) => this.#changed(key),
      subscribed: () => {
        resolve()
        // What happened while nobody listened is not known.
        for (const key of this.#watchers.keys()) this.#changed(key)
      },
      refused: resolve,
    })
    const late = pause(subscribeMs, undefined, { signal: giveUp.signal }).catch(() => undefined)
    await Promise.race([promise, late])
    giveUp.abort()
  }

  /** Resolves when one of the records may have changed; rejects with the signal's reason. */
  async watch(keys: readonly string[], signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = (): void => reject(signal.reason)
    for (const key of keys) this.#of(key).add(resolve)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', abort)
      for (const key of keys) this.#unwatch(key, resolve)
    }
  }

  /** Ends the subscription. */
  close(): void {
    this.#end?.()
    this.#end = undefined
  }

  #changed(key: string): void {
    for (const changed of this.#watchers.get(key) ?? []) changed()
  }

  #of(key: string): Set<() => void> {
    const found = this.#watchers.get(key)
    if (found !== undefined) return found
    const created = new Set<() => void>()
    this.#watchers.set(key, created)
    return created
  }

  #unwatch(key: string, watcher: () => void): void {
    const watchers = this.#watchers.get(key)
    watchers?.delete(watcher)
    if (watchers?.size === 0) this.#watchers.delete(key)
  }
}
