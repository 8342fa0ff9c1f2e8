import type { OperationRecord } from '../../../src/core/record.ts'
import type { RecordFilter, RecordPage, RecordView } from '../../../src/core/store.ts'
import type { Claim, Settlement } from '../../../src/core/transitions.ts'
import { TableStore } from '../table-store.ts'
import { leaving, type Claimed, type Found, type MakeStore, type Settled, type Variants } from './variant.ts'

/** What is wrong with what operators see and do. */
export const brokenOperators: Variants = {
  'a view shows the state that is stored': class extends TableStore {
    override viewAt(record: Found, now: number): RecordView | null {
      const view = super.viewAt(record, now)
      const { state } = record ?? {}
      return view && (state === 'running' || state === 'completed') ? { ...view, state } : view
    }
  },
  'a view shows what has expired': class extends TableStore {
    override viewAt(record: Found, now: number): RecordView | null {
      return super.viewAt(record && { ...record, expiresAt: null }, now)
    }
  },
  'a view shows no cause of a lapse': class extends TableStore {
    override viewAt(record: Found, now: number): RecordView | null {
      const view = super.viewAt(record, now)
      return view && { ...view, cause: view.record.cause }
    }
  },
  'a list shows records without their steps': class extends TableStore {
    override async list(filter: RecordFilter, limit: number, after?: string): Promise<RecordPage> {
      const { records, next } = await super.list(filter, limit, after)
      return { records: records.map((view) => ({ ...view, record: { ...view.record, owner: '' } })), next }
    }
  },
  'a record is created anew by each claim': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return leaving(super.decideClaim(record, claim, now), (left) => ({ ...left, createdAt: now }))
    }
  },
  'a record is created when it ends': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) => ({
        ...left,
        createdAt: left.endedAt ?? left.createdAt,
      }))
    }
  },
  'find counts as a look that renews': class extends TableStore {
    override async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
      const found = await super.find(ids)
      for (const view of found) if (view) this.put(view.record.id, { ...view.record, attempt: view.record.attempt + 1 })
      return found
    }
  },
  ...brokenFilters(),
  'a page leaves out the record after it': class extends TableStore {
    override async list(filter: RecordFilter, limit: number, after?: string): Promise<RecordPage> {
      const page = await super.list(filter, limit + 1, after)
      return { ...page, records: page.records.slice(0, limit) }
    }
  },
  'a page shows the last record of the page before': class extends TableStore {
    override async list(filter: RecordFilter, limit: number, after?: string): Promise<RecordPage> {
      const page = await super.list(filter, limit, after)
      const before = this.get(after ?? '')
      const last = this.viewAt(before, this.now())
      return last === null ? page : { ...page, records: [last, ...page.records] }
    }
  },
  'a list has no limit': class extends TableStore {
    override async list(filter: RecordFilter, _limit: number, after?: string): Promise<RecordPage> {
      return super.list(filter, 1_000, after)
    }
  },
  'a purge removes what runs': class extends TableStore {
    override mayPurge(): boolean {
      return true
    }
  },
  'a purge removes what is stored as running only when it is told so': class extends TableStore {
    override mayPurge({ record }: RecordView): boolean {
      return record.state !== 'running'
    }
  },
  'a purge removes whatever is there': class extends TableStore {
    override async purge(_filter: RecordFilter, limit: number): Promise<number> {
      return super.purge({}, limit)
    }
  },
  'a purge has no limit': class extends TableStore {
    override async purge(filter: RecordFilter): Promise<number> {
      return super.purge(filter, 1_000)
    }
  },
  'a purge counts and removes nothing': class extends TableStore {
    override removeAll(records: readonly OperationRecord[]): number {
      return records.length
    }
  },
  'a sweep removes what is only remembered': class extends TableStore {
    override swept(): Found {
      return null
    }
  },
  'a sweep removes what is not running': class extends TableStore {
    override isOutlived(record: OperationRecord): boolean {
      return record.state !== 'running' || super.isOutlived(record)
    }
  },
  'a sweep removes what has lapsed': class extends TableStore {
    override isOutlived(record: OperationRecord): boolean {
      return record.leaseUntil <= this.now() && record.outcome === null
    }
    override swept(): Found {
      return null
    }
  },
  'a sweep removes nothing': class extends TableStore {
    override async sweep(): Promise<number> {
      return 0
    }
  },
  'a sweep has no limit': class extends TableStore {
    override async sweep(): Promise<number> {
      return super.sweep(1_000)
    }
  },
  'a sweep leaves the outcome of what is only remembered': class extends TableStore {
    override swept(record: OperationRecord): Found {
      return super.swept(record) === null ? null : { ...record, state: 'tombstone' }
    }
  },
}

function brokenFilters(): Record<string, MakeStore> {
  const without = (field: keyof RecordFilter): MakeStore =>
    class extends TableStore {
      override isMeant(view: RecordView, filter: RecordFilter): boolean {
        return super.isMeant(view, Object.fromEntries(Object.entries(filter).filter(([name]) => name !== field)))
      }
    }
  return {
    'a filter leaves out the scope': without('scope'),
    'a filter leaves out the name': without('name'),
    'a filter leaves out the key prefix': without('keyPrefix'),
    'a filter leaves out the age': without('olderThanMs'),
    'a key prefix is a pattern': class extends TableStore {
      override isMeant(view: RecordView, { keyPrefix = '', ...filter }: RecordFilter): boolean {
        const pattern = keyPrefix
          .replaceAll('%', '.*')
          .replaceAll('_', '.')
          .replaceAll(/[[\]*?^\\]/g, '.')
        return new RegExp(`^${pattern}`, 'u').test(view.record.key) && super.isMeant(view, filter)
      }
    },
  }
}
