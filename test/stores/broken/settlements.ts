import type { Settlement } from '../../../src/core/transitions.ts'
import { TableStore } from '../table-store.ts'
import { leaving, type Found, type MakeStore, type Settled, type Variants } from './variant.ts'

/** What is wrong with what a settlement changes. */
export const brokenSettlements: Variants = {
  'the attempt of a fence is not compared': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const same = record && 'attempt' in settlement ? { ...settlement, attempt: record.attempt } : settlement
      return super.decideSettlement(record, same, now)
    }
  },
  'the owner of a fence is not compared': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const same = record && 'attempt' in settlement ? { ...settlement, owner: record.owner } : settlement
      return super.decideSettlement(record, same, now)
    }
  },
  'an owner is compared without case': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const same = 'owner' in settlement ? { ...settlement, owner: settlement.owner.toLowerCase() } : settlement
      return super.decideSettlement(record, same, now)
    }
  },
  'a completion is accepted after a takeover': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      if (settlement.kind !== 'complete' || record?.state !== 'running') return super.decideSettlement(record, settlement, now)
      return super.decideSettlement(record, { ...settlement, attempt: record.attempt, owner: record.owner }, now)
    }
  },
  ...settlementsUnderNoFence(),
  'a settlement of an unknown operation is accepted': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return record === null ? { result: 'ok', record } : super.decideSettlement(record, settlement, now)
    }
  },
  'a settlement of an expired record is accepted': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return super.decideSettlement(record && { ...record, expiresAt: null }, settlement, now)
    }
  },
  'a lapsed attempt cannot settle': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const lapsed = record?.state === 'running' && record.leaseUntil <= now && settlement.kind !== 'resolve'
      return lapsed ? { result: 'stale', record } : super.decideSettlement(record, settlement, now)
    }
  },
  'a completion again is stale': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const again = settlement.kind === 'complete' && record?.state === 'completed'
      return again ? { result: 'stale', record } : super.decideSettlement(record, settlement, now)
    }
  },
  'a completion again keeps the outcome anew': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const again = settlement.kind === 'complete' && record?.state === 'completed'
      return super.decideSettlement(again ? { ...record, state: 'running' } : record, settlement, now)
    }
  },
  'a completion again is stale once a sweep came by': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return record?.state === 'tombstone' ? { result: 'stale', record } : super.decideSettlement(record, settlement, now)
    }
  },
  'a completion is acknowledged and lost': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const decision = super.decideSettlement(record, settlement, now)
      return settlement.kind === 'complete' ? { ...decision, record } : decision
    }
  },
  'a completion keeps the steps': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) => ({ ...left, steps: record?.steps ?? left.steps }))
    }
  },
  'an outcome is kept for the ttl from creation': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) =>
        left.outcome === null ? left : { ...left, endedAt: left.createdAt, expiresAt: left.createdAt + left.policy.ttlMs },
      )
    }
  },
  'an outcome that was not kept counts as kept': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) => ({
        ...left,
        outcome: left.outcome && { ...left.outcome, kept: true },
      }))
    }
  },
  'an interruption leaves the lease': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const decision = super.decideSettlement(record, settlement, now)
      return settlement.kind === 'interrupt' ? { ...decision, record } : decision
    }
  },
  'an interruption forgets the operation': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const decision = super.decideSettlement(record, settlement, now)
      return settlement.kind === 'interrupt' && decision.result === 'ok' ? { result: 'ok', record: null } : decision
    }
  },
  'an interruption again keeps the record longer': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const again = settlement.kind === 'interrupt' && record?.state === 'interrupted'
      return super.decideSettlement(again ? { ...record, state: 'running' } : record, settlement, now)
    }
  },
  'an attempt that was interrupted may still settle': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const ended = record?.state === 'interrupted' || record?.state === 'completed'
      return super.decideSettlement(ended && 'attempt' in settlement ? { ...record, state: 'running' } : record, settlement, now)
    }
  },
  'a renewal is acknowledged and not made': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const decision = super.decideSettlement(record, settlement, now)
      return settlement.kind === 'renew' ? { ...decision, record } : decision
    }
  },
  'a renewal adds to the lease that is left': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const left = Math.max(0, (record?.leaseUntil ?? now) - now)
      const longer = settlement.kind === 'renew' ? { ...settlement, leaseMs: settlement.leaseMs + left } : settlement
      return super.decideSettlement(record, longer, now)
    }
  },
  'a renewal does not put off the expiry': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) =>
        settlement.kind === 'renew' ? { ...left, expiresAt: record?.expiresAt ?? null } : left,
      )
    }
  },
  'a step does not renew': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) =>
        settlement.kind === 'step' ? { ...left, leaseUntil: record?.leaseUntil ?? now } : left,
      )
    }
  },
  'a step again replaces its result': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      if (record === null || settlement.kind !== 'step') return super.decideSettlement(record, settlement, now)
      const steps = record.steps.filter(({ name }) => name !== settlement.step.name)
      return super.decideSettlement({ ...record, steps }, settlement, now)
    }
  },
  'steps come in the order of their names': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) => ({
        ...left,
        steps: left.steps.toSorted((a, b) => (a.name < b.name ? 1 : -1)),
      }))
    }
  },
  'a release takes away a later attempt with all before it': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return super.decideSettlement(settlement.kind === 'release' && record ? { ...record, attempt: 1 } : record, settlement, now)
    }
  },
  'a release leaves its fence': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) =>
        settlement.kind === 'release' ? { ...left, state: 'running', owner: settlement.owner } : left,
      )
    }
  },
  'a release counts as an interruption': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      if (settlement.kind !== 'release' || record === null) return super.decideSettlement(record, settlement, now)
      return super.decideSettlement(record, { ...settlement, kind: 'interrupt', attempt: record.attempt, cause: 'thrown' }, now)
    }
  },
  'a release of nothing is stale': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return record === null ? { result: 'stale', record } : super.decideSettlement(record, settlement, now)
    }
  },
  'a release by anyone is accepted': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const same = settlement.kind === 'release' && record ? { ...settlement, owner: record.owner } : settlement
      return super.decideSettlement(record, same, now)
    }
  },
  'a release after the end is accepted': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return super.decideSettlement(
        settlement.kind === 'release' && record ? { ...record, state: 'running' } : record,
        settlement,
        now,
      )
    }
  },
  'a resolution leaves the fence': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) =>
        settlement.kind === 'resolve' ? { ...left, owner: record?.owner ?? '' } : left,
      )
    }
  },
  'a resolution tells neither who nor why': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      return leaving(super.decideSettlement(record, settlement, now), (left) => ({ ...left, resolution: null }))
    }
  },
  'a resolution as absent is not made': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const absent = settlement.kind === 'resolve' && settlement.outcome === null
      const decision = super.decideSettlement(record, settlement, now)
      return absent ? { ...decision, record } : decision
    }
  },
  'whatever was not completed can be resolved': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const open = settlement.kind === 'resolve' && record !== null && record.outcome === null
      return super.decideSettlement(open ? { ...record, state: 'held', expiresAt: null } : record, settlement, now)
    }
  },
  'a lapsed operation cannot be resolved': class extends TableStore {
    override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
      const lapsed = settlement.kind === 'resolve' && record?.state === 'running'
      return lapsed ? { result: 'stale', record } : super.decideSettlement(record, settlement, now)
    }
  },
}

/** A variant for each kind of settlement whose fence is not compared while the operation is interrupted or another runs it. */
function settlementsUnderNoFence(): Record<string, MakeStore> {
  const variant = (kind: 'interrupt' | 'renew' | 'step'): MakeStore =>
    class extends TableStore {
      override decideSettlement(record: Found, settlement: Settlement, now: number): Settled {
        if (record === null || settlement.kind !== kind) return super.decideSettlement(record, settlement, now)
        return super.decideSettlement(record, { ...settlement, attempt: record.attempt, owner: record.owner }, now)
      }
    }
  return {
    'an interruption is accepted under any fence': variant('interrupt'),
    'a renewal is accepted under any fence': variant('renew'),
    'a step is accepted under any fence': variant('step'),
  }
}
