import type { PostgresDriver } from './postgres-clients.ts'

/** First and longest pause between two tries to listen. Milliseconds. */
const retryMs = 100
const retryMsMax = 30_000

/**
 * Waits for notifications, for all watchers of one store on one connection. It listens from the first watcher on, and when the
 * connection is lost again for the next one, after a pause that grows: until then there is polling, which lies beneath anyway.
 */
export class PostgresListener {
  readonly #driver: PostgresDriver
  readonly #channel: string
  readonly #watchers = new Map<string, Set<() => void>>()
  #subscription: Promise<(() => Promise<void>) | undefined> | undefined
  #failures = 0
  #notBefore = 0
  #isClosed = false

  constructor(driver: PostgresDriver, channel: string) {
    this.#driver = driver
    this.#channel = channel
  }

  /** Resolves when one of the operations may have changed. Rejects with the signal's reason, or when nothing will be told. */
  async watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = (): void => reject(signal.reason)
    for (const id of ids) this.#watchersOf(id).add(resolve)
    signal.addEventListener('abort', abort, { once: true })
    try {
      this.#listen().catch(reject)
      await promise
    } finally {
      signal.removeEventListener('abort', abort)
      for (const id of ids) this.#unwatch(id, resolve)
    }
  }

  /** Listens no more. */
  async close(): Promise<void> {
    this.#isClosed = true
    const end = await this.#subscription?.catch(() => undefined)
    await end?.()
  }

  async #listen(): Promise<void> {
    if (this.#subscription === undefined) {
      if (this.#isClosed || performance.now() < this.#notBefore) throw new Error('not listening at the moment')
      this.#subscription = this.#driver.subscribe(this.#channel, { onNotify: this.#onNotify, onLost: this.#onLost })
    }
    const subscription = this.#subscription
    try {
      if ((await subscription) === undefined) throw new Error('the pool has no connection to spare to listen on')
      this.#failures = 0
    } catch (error) {
      if (this.#subscription === subscription) this.#listenLater()
      throw error
    }
  }

  readonly #onNotify = (id: string): void => {
    for (const changed of this.#watchers.get(id) ?? []) changed()
  }

  /** Whatever was notified in between has been missed: everybody looks. */
  readonly #onLost = (): void => {
    this.#listenLater()
    for (const watchers of this.#watchers.values()) for (const changed of watchers) changed()
  }

  #listenLater(): void {
    this.#subscription = undefined
    this.#notBefore = performance.now() + Math.min(retryMs * 2 ** this.#failures, retryMsMax)
    this.#failures += 1
  }

  #watchersOf(id: string): Set<() => void> {
    const found = this.#watchers.get(id)
    if (found !== undefined) return found
    const created = new Set<() => void>()
    this.#watchers.set(id, created)
    return created
  }

  #unwatch(id: string, watcher: () => void): void {
    const watchers = this.#watchers.get(id)
    watchers?.delete(watcher)
    if (watchers?.size === 0) this.#watchers.delete(id)
  }
}
