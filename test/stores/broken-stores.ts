import { setImmediate as turn } from 'node:timers/promises'
import { StoreDataError } from '../../src/core/errors.ts'
import type { OperationRecord, Outcome } from '../../src/core/record.ts'
import type { RecordFilter, RecordPage, RecordView, Store } from '../../src/core/store.ts'
import type { Claim, ClaimResult, Decision, Settlement, SettleResult } from '../../src/core/transitions.ts'
import { refusedWord, Shelf, TableStore } from './table-store.ts'

/** Makes a store of a variant on a shelf. */
export type MakeStore = new (shelf: Shelf, clockOffsetMs: () => number) => Store

type Found = OperationRecord | null
type Claimed = Decision<ClaimResult>
type Settled = Decision<SettleResult>

/** The record that is left, changed; where one is left. */
function leaving<Result>(
  { result, record }: Decision<Result>,
  change: (record: OperationRecord) => OperationRecord,
): Decision<Result> {
  return { result, record: record && change(record) }
}

const withoutPolicy = (record: OperationRecord): OperationRecord => ({
  ...record,
  policy: { ...record.policy, interrupted: { answered: 'retry', thrown: 'retry', lapsed: 'retry' } },
})

/** What is wrong with what a claim finds. */
const claims: Readonly<Record<string, MakeStore>> = {
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

/** What is wrong with what a settlement changes. */
const settlements: Readonly<Record<string, MakeStore>> = {
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

const opening = new WeakSet<Shelf>()

/** What is wrong with calls in groups, and with instances. */
const groups: Readonly<Record<string, MakeStore>> = {
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

const cut = (word: string): string => word.split('\u0000')[0] ?? ''

function withOutcome(settlement: Settlement, change: (outcome: Outcome) => Outcome): Settlement {
  if (settlement.kind === 'step') return { ...settlement, step: { ...settlement.step, result: change(settlement.step.result) } }
  if (settlement.kind === 'complete') return { ...settlement, outcome: change(settlement.outcome) }
  return settlement
}

/** What is wrong with words and bytes. */
const words: Readonly<Record<string, MakeStore>> = {
  'words end at a NUL': class extends TableStore {
    override claimOne(claim: Claim): ClaimResult {
      return super.claimOne({ ...claim, scope: cut(claim.scope), name: cut(claim.name), key: cut(claim.key) })
    }
  },
  'words are cut after 200 characters': class extends TableStore {
    override claimOne(claim: Claim): ClaimResult {
      return super.claimOne({
        ...claim,
        scope: claim.scope.slice(0, 200),
        name: claim.name.slice(0, 1000),
        key: claim.key.slice(0, 200),
      })
    }
  },
  'operations are known by their words, without case': class extends TableStore {
    override claimOne(claim: Claim): ClaimResult {
      const same = [...this.shelf.records.values()].find(
        ({ key }) => key !== claim.key && key.toLowerCase() === claim.key.toLowerCase(),
      )
      return super.claimOne({ ...claim, id: same?.id ?? claim.id })
    }
  },
  'a filter compares without case': class extends TableStore {
    override isMeant(view: RecordView, filter: RecordFilter): boolean {
      const { scope, name } = filter
      const same = (a: string | undefined, b: string): boolean => a?.toLowerCase() === b.toLowerCase()
      const of = {
        ...(scope !== undefined && same(scope, view.record.scope) ? { scope: view.record.scope } : {}),
        ...(name !== undefined && same(name, view.record.name) ? { name: view.record.name } : {}),
      }
      return super.isMeant(view, { ...filter, ...of })
    }
  },
  'a filter compares normalisation forms as the same': class extends TableStore {
    override isMeant(view: RecordView, { scope, ...filter }: RecordFilter): boolean {
      return (scope === undefined || scope.normalize() === view.record.scope.normalize()) && super.isMeant(view, filter)
    }
  },
  'a fingerprint is compared without trailing spaces': class extends TableStore {
    override claimOne(claim: Claim): ClaimResult {
      return super.claimOne({ ...claim, fingerprint: claim.fingerprint.trimEnd() })
    }
  },
  'bodies are kept as text': class extends TableStore {
    override settleOne(settlement: Settlement): SettleResult {
      const asText = (body: Uint8Array): Uint8Array => new TextEncoder().encode(new TextDecoder().decode(body))
      return super.settleOne(withOutcome(settlement, (outcome) => ({ ...outcome, body: asText(outcome.body) })))
    }
  },
  'bodies are cut after a million bytes': class extends TableStore {
    override settleOne(settlement: Settlement): SettleResult {
      return super.settleOne(withOutcome(settlement, (outcome) => ({ ...outcome, body: outcome.body.slice(0, 1_000_000) })))
    }
  },
  'an empty body becomes one of a byte': class extends TableStore {
    override settleOne(settlement: Settlement): SettleResult {
      const filled = (body: Uint8Array): Uint8Array => (body.length === 0 ? new Uint8Array(1) : body)
      return super.settleOne(withOutcome(settlement, (outcome) => ({ ...outcome, body: filled(outcome.body) })))
    }
  },
  'a body is kept with the buffer around it': class extends TableStore {
    override settleOne(settlement: Settlement): SettleResult {
      return super.settleOne(withOutcome(settlement, (outcome) => ({ ...outcome, body: new Uint8Array(outcome.body.buffer) })))
    }
  },
  'meta ends at a NUL': class extends TableStore {
    override settleOne(settlement: Settlement): SettleResult {
      return super.settleOne(withOutcome(settlement, (outcome) => ({ ...outcome, meta: cut(outcome.meta) })))
    }
  },
  'a time is a whole number of 32 bits': class extends TableStore {
    override claimOne(claim: Claim): ClaimResult {
      const policy = { ...claim.policy, ttlMs: claim.policy.ttlMs | 0 }
      return super.claimOne({ ...claim, leaseMs: claim.leaseMs | 0, policy })
    }
  },
}

/** What is wrong with what operators see and do. */
const operators: Readonly<Record<string, MakeStore>> = {
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

/** What is wrong with watching, opening and closing. */
const life: Readonly<Record<string, MakeStore>> = {
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

/** Stores whose tables are wrong in one way each, by what is wrong with them. */
export const brokenTables: Readonly<Record<string, MakeStore>> = { ...claims, ...settlements }

/** Stores that break the contract in one way each, by what is wrong with them, in groups. */
export const brokenStores: readonly Readonly<Record<string, MakeStore>>[] = [claims, settlements, groups, words, operators]

/** Stores that are opened, watched and closed wrongly. Some keep a case waiting until its time is up. */
export const brokenLives: Readonly<Record<string, MakeStore>> = life
