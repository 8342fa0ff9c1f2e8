import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash, hash, randomFillSync } from 'node:crypto'
import type { AsyncContext, Platform } from './engine/platform.ts'

const idBytes = 16
const pool = Buffer.alloc(256 * idBytes)
let taken = pool.length

/**
 * 128 random bits as 32 hexadecimal digits, from bytes drawn 256 ids at a time. `randomUUID` puts its text together from pieces, and a
 * record that keeps it keeps them all: 400 bytes more, by heap profile.
 */
function randomId(): string {
  if (taken === pool.length) {
    randomFillSync(pool)
    taken = 0
  }
  taken += idBytes
  return pool.toString('hex', taken - idBytes, taken)
}

/** The surroundings of Node, Bun, Deno and Workers (with `nodejs_compat`): the one place where time and chance come from. */
export const systemPlatform: Platform = {
  // The one-shot form costs half as much; runtimes without it still have the other.
  sha256:
    typeof hash === 'function'
      ? (data) => hash('sha256', data, 'hex')
      : (data) => createHash('sha256').update(data).digest('hex'),
  randomId,
  random: () => Math.random(),
  now: () => Date.now(),
  monotonicNow: () => performance.now(),
  timer(delayMs: number, callback: () => void, kind?: 'background'): () => void {
    const timeout = setTimeout(callback, delayMs)
    if (kind === 'background') timeout.unref()
    return () => clearTimeout(timeout)
  },
  endOfTurn(callback: () => void): void {
    setImmediate(callback)
  },
  asyncContext<Value>(): AsyncContext<Value> {
    return new AsyncLocalStorage<Value>()
  },
}
