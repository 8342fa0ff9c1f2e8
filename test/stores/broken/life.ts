import { setImmediate as turn } from 'node:timers/promises'
import { TableStore } from '../table-store.ts'
import type { Variants } from './variant.ts'

/** What is wrong with watching, opening and closing. */
export const brokenLives: Variants = {
  'a watch never resolves': class extends TableStore {
    override async watch(_ids: readonly string[], signal: AbortSignal): Promise<void> {
      await super.watch(_ids, signal).catch(() => signal.throwIfAborted())
      await new Promise<void>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
  },
  'a watch resolves upon a completion alone': class extends TableStore {
    override async watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
      do await super.watch(ids, signal)
      while (ids.every((id) => this.get(id) === null || this.get(id)?.outcome === null))
    }
  },
  'a watch resolves when it is aborted': class extends TableStore {
    override async watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
      await super.watch(ids, signal).catch(() => undefined)
    }
  },
  'a watch leaves its listener behind': class extends TableStore {
    override async watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
      signal.addEventListener('abort', () => undefined)
      return super.watch(ids, signal)
    }
  },
  'no reason is given for the guarantee': class extends TableStore {
    override readonly guarantee = { tier: 'best-effort', reason: '' } as const
  },
  'opening again forgets the records': class extends TableStore {
    #opened = false

    override async open(): Promise<void> {
      if (this.#opened) this.shelf.records.clear()
      this.#opened = true
    }
  },
  'closing forgets the records': class extends TableStore {
    override async close(): Promise<void> {
      await super.close()
      this.shelf.records.clear()
    }
  },
  'closing waits for nothing': class extends TableStore {
    override async close(): Promise<void> {
      this.isClosed = true
    }
    override async delayed<Result>(work: () => Result): Promise<Result> {
      const result = await super.delayed(work)
      await turn()
      await turn()
      return result
    }
  },
  'a closed store goes on': class extends TableStore {
    override async close(): Promise<void> {
      await super.close()
      this.isClosed = false
    }
  },
}
