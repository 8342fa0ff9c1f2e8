import { setImmediate as turn } from 'node:timers/promises'
import { StoreDataError } from '../../../src/core/errors.ts'
import type { RecordView } from '../../../src/core/store.ts'
import type { Claim, ClaimResult, Settlement, SettleResult } from '../../../src/core/transitions.ts'
import { refusedWord, Shelf, TableStore } from '../table-store.ts'
import type { Variants } from './variant.ts'

const opening = new WeakSet<Shelf>()

/** What is wrong with calls in groups, and with instances. */
export const brokenGroups: Variants = {
  'a refused batch of claims is applied by half': class extends TableStore {
    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      return batch.map((claim) => {
        if (claim.fingerprint === refusedWord) throw new StoreDataError('a fingerprint was refused')
        return this.claimOne(claim)
      })
    }
  },
  'a refused batch of settlements is applied by half': class extends TableStore {
    override settleAll(batch: readonly Settlement[]): readonly SettleResult[] {
      return batch.map((settlement) => {
        if ('owner' in settlement && settlement.owner === refusedWord) throw new StoreDataError('an owner was refused')
        return this.settleOne(settlement)
      })
    }
  },
  'a refused claim fails the calls beside it, which were applied': class extends TableStore {
    #isRefused = false

    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      this.#isRefused ||= batch.some(({ fingerprint }) => fingerprint === refusedWord)
      return super.claimAll(batch)
    }
    override async delayed<Result>(work: () => Result): Promise<Result> {
      const result = work()
      await turn()
      if (this.#isRefused && Array.isArray(result) && result.length === 1) throw new StoreDataError('another call was refused')
      return result
    }
  },
  'refused data is no StoreDataError': class extends TableStore {
    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      if (batch.some(({ fingerprint }) => fingerprint === refusedWord)) throw new RangeError('too long')
      return super.claimAll(batch)
    }
    override settleAll(batch: readonly Settlement[]): readonly SettleResult[] {
      if (batch.some((each) => 'owner' in each && each.owner === refusedWord)) throw new RangeError('too long')
      return super.settleAll(batch)
    }
  },
  'the results of claims stand in the order of the identities': class extends TableStore {
    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      return super.claimAll(batch.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
    }
  },
  'the results of settlements stand in the order of the identities': class extends TableStore {
    override settleAll(batch: readonly Settlement[]): readonly SettleResult[] {
      return super.settleAll(batch.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
    }
  },
  'the claims of a batch do not see each other': class extends TableStore {
    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      const before = new Map(this.shelf.records)
      return batch.map((claim) => this.apply(claim.id, this.decideClaim(before.get(claim.id) ?? null, claim, this.now())))
    }
  },
  'the settlements of a batch do not see each other': class extends TableStore {
    override settleAll(batch: readonly Settlement[]): readonly SettleResult[] {
      const before = new Map(this.shelf.records)
      return batch.map((each) => this.apply(each.id, this.decideSettlement(before.get(each.id) ?? null, each, this.now())))
    }
  },
  'the second claim of an operation in a batch is left out': class extends TableStore {
    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      return super.claimAll(batch.filter(({ id }, index) => batch.findIndex((each) => each.id === id) === index))
    }
  },
  'a stale settlement keeps its batch back': class extends TableStore {
    override settleAll(batch: readonly Settlement[]): readonly SettleResult[] {
      const before = new Map(this.shelf.records)
      const results = super.settleAll(batch)
      if (results.includes('stale')) for (const { id } of batch) this.put(id, before.get(id) ?? null)
      return results
    }
  },
  'an empty batch is an error': class extends TableStore {
    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      if (batch.length === 0) throw new RangeError('no values')
      return super.claimAll(batch)
    }
  },
  'a batch holds 100': class extends TableStore {
    override claimAll(batch: readonly Claim[]): readonly ClaimResult[] {
      return super.claimAll(batch.slice(0, 100))
    }
  },
  'find gives each record once, in the order of the identities': class extends TableStore {
    override async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
      return super.find([...new Set(ids)].toSorted())
    }
  },
  'a claim reads, then writes, and others come in between': class extends TableStore {
    override async claim(batch: readonly Claim[]): Promise<readonly ClaimResult[]> {
      const decisions = batch.map((claim) => this.decideClaim(this.get(claim.id), claim, this.now()))
      await turn()
      return this.answer(() => decisions.map((decision, index) => this.apply(batch[index]?.id ?? '', decision)))
    }
  },
  'a settlement reads, then writes, and others come in between': class extends TableStore {
    override async settle(batch: readonly Settlement[]): Promise<readonly SettleResult[]> {
      const decisions = batch.map((each) => this.decideSettlement(this.get(each.id), each, this.now()))
      await turn()
      return this.answer(() => decisions.map((decision, index) => this.apply(batch[index]?.id ?? '', decision)))
    }
  },
  'an instance has records of its own': class extends TableStore {
    constructor(_shelf: Shelf, clockOffsetMs: () => number) {
      super(new Shelf(), clockOffsetMs)
    }
  },
  'an instance judges by the clock it had when it was made': class extends TableStore {
    constructor(shelf: Shelf, clockOffsetMs: () => number) {
      const offsetMs = clockOffsetMs()
      super(shelf, () => offsetMs)
    }
  },
  'opening fails while another instance opens': class extends TableStore {
    override async open(): Promise<void> {
      if (opening.has(this.shelf)) throw new Error('table already exists')
      opening.add(this.shelf)
      await turn()
      opening.delete(this.shelf)
    }
  },
  'opening removes the records': class extends TableStore {
    override async open(): Promise<void> {
      this.shelf.records.clear()
    }
  },
}
