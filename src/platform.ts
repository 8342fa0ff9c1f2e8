import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash, hash, randomUUID } from 'node:crypto'
import type { AsyncContext, Platform } from './engine/platform.ts'

/** The surroundings of Node, Bun, Deno and Workers (with `nodejs_compat`): the one place where time and chance come from. */
export const systemPlatform: Platform = {
  // The one-shot form costs half as much; runtimes without it still have the other.
  sha256:
    typeof hash === 'function'
      ? (data) => hash('sha256', data, 'hex')
      : (data) => createHash('sha256').update(data).digest('hex'),
  randomId: () => randomUUID(),
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
