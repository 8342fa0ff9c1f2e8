import type { OperationRecord } from '../../../src/core/record.ts'
import type { Claim, ClaimResult } from '../../../src/core/transitions.ts'
import { TableStore } from '../table-store.ts'
import { leaving, type Claimed, type Found, type Variants } from './variant.ts'

const withoutPolicy = (record: OperationRecord): OperationRecord => ({
  ...record,
  policy: { ...record.policy, interrupted: { answered: 'retry', thrown: 'retry', lapsed: 'retry' } },
})

/** What is wrong with what a claim finds. */
export const brokenClaims: Variants = {
  'the fingerprint is not compared': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record && { ...record, fingerprint: claim.fingerprint }, claim, now)
    }
  },
  'a mismatch is found only while the operation runs': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const other = record !== null && record.state === 'running' ? record.fingerprint : claim.fingerprint
      return super.decideClaim(record && { ...record, fingerprint: other }, claim, now)
    }
  },
  'a running operation is claimed by whoever asks': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record && { ...record, leaseUntil: Math.min(record.leaseUntil, now) }, claim, now)
    }
  },
  'the owner that asks again is not known': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record && { ...record, owner: `not ${record.owner}` }, claim, now)
    }
  },
  'the owner that asks again gets no new lease': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const decision = super.decideClaim(record, claim, now)
      return record?.state === 'running' && record.owner === claim.owner ? { ...decision, record } : decision
    }
  },
  'a copy of a claim that comes late starts an attempt': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record?.state === 'interrupted' ? { ...record, owner: '' } : record, claim, now)
    }
  },
  'attempts are numbered from 0': class extends TableStore {
    override claimOne(claim: Claim): ClaimResult {
      const result = super.claimOne(claim)
      return result.state === 'claimed' ? { ...result, attempt: result.attempt - 1 } : result
    }
  },
  'a busy claim takes the fence': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const decision = super.decideClaim(record, claim, now)
      return decision.result.state === 'busy' ? leaving(decision, (left) => ({ ...left, owner: claim.owner })) : decision
    }
  },
  'a lease never ends': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const lasting = record?.state === 'running' ? { ...record, leaseUntil: now + 100_000, expiresAt: null } : record
      return super.decideClaim(lasting, claim, now)
    }
  },
  'a busy answer counts in seconds': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const { result, record: left } = super.decideClaim(record, claim, now)
      return { result: result.state === 'busy' ? { ...result, leaseMs: result.leaseMs / 1000 } : result, record: left }
    }
  },
  'the next attempt has the number of the last': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record?.state === 'interrupted' ? { ...record, attempt: record.attempt - 1 } : record, claim, now)
    }
  },
  'every attempt is a generation of its own': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const { result, record: left } = super.decideClaim(record, claim, now)
      return { result: result.state === 'claimed' ? { ...result, generation: claim.owner } : result, record: left }
    }
  },
  'what is uncertain may run again': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const isUncertain = record?.state === 'held' && record.cause === 'uncertain'
      return super.decideClaim(isUncertain ? { ...record, state: 'interrupted' } : record, claim, now)
    }
  },
  'the next attempt forgets the steps': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record && { ...record, steps: [] }, claim, now)
    }
  },
  'no cause is held': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record?.state === 'held' ? { ...withoutPolicy(record), state: 'interrupted' } : record, claim, now)
    }
  },
  'a lapse is never held': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const lapsed = record?.state === 'running' ? withoutPolicy(record) : record
      return super.decideClaim(lapsed && { ...lapsed, policy: { ...lapsed.policy, attemptsMax: 1_000 } }, claim, now)
    }
  },
  'attemptsMax is not looked at': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record, { ...claim, policy: { ...claim.policy, attemptsMax: 1_000 } }, now)
    }
  },
  'attemptsMax is one too strict': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const attemptsMax = claim.policy.attemptsMax - 1
      return super.decideClaim(record, { ...claim, policy: { ...claim.policy, attemptsMax } }, now)
    }
  },
  'the policy of the latest claim is in force': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record && { ...record, policy: claim.policy }, claim, now)
    }
  },
  'the policy of an expired record stays in force': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record, { ...claim, policy: record?.policy ?? claim.policy }, now)
    }
  },
  'an outcome is handed out after its ttl': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record?.state === 'completed' ? { ...record, endedAt: now, expiresAt: null } : record, claim, now)
    }
  },
  'an outcome is forgotten too early': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record?.state === 'completed' ? null : record, claim, now)
    }
  },
  'an operation that is only remembered is claimed anew': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const expired = record !== null && this.viewAt(record, now)?.state === 'expired'
      return super.decideClaim(expired ? null : record, claim, now)
    }
  },
  'an operation is remembered for ever': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const remembered = record !== null && record.policy.rememberMs > 0 && record.outcome !== null
      return super.decideClaim(remembered ? { ...record, expiresAt: null } : record, claim, now)
    }
  },
  'what was interrupted or lapsed never expires': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return super.decideClaim(record && record.outcome === null ? { ...record, expiresAt: null } : record, claim, now)
    }
  },
  'a running operation expires by its ttl': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      return leaving(super.decideClaim(record, claim, now), (left) =>
        left.state === 'running' ? { ...left, expiresAt: now + left.policy.ttlMs } : left,
      )
    }
  },
  'an owner that was taken over takes the operation back': class extends TableStore {
    override decideClaim(record: Found, claim: Claim, now: number): Claimed {
      const first = record?.state === 'running' && record.attempt > 1 && claim.owner === 'owner-1'
      return super.decideClaim(first ? { ...record, owner: claim.owner } : record, claim, now)
    }
  },
  'the words of an operation are not told apart': class extends TableStore {
    override get(id: string): Found {
      return super.get(id) ?? [...this.shelf.records.values()][0] ?? null
    }
  },
}
