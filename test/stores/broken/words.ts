import type { Outcome } from '../../../src/core/record.ts'
import type { RecordFilter, RecordView } from '../../../src/core/store.ts'
import type { Claim, ClaimResult, Settlement, SettleResult } from '../../../src/core/transitions.ts'
import { TableStore } from '../table-store.ts'
import type { Variants } from './variant.ts'

const cut = (word: string): string => word.split('\u0000')[0] ?? ''

function withOutcome(settlement: Settlement, change: (outcome: Outcome) => Outcome): Settlement {
  if (settlement.kind === 'step') return { ...settlement, step: { ...settlement.step, result: change(settlement.step.result) } }
  if (settlement.kind === 'complete') return { ...settlement, outcome: change(settlement.outcome) }
  return settlement
}

/** What is wrong with words and bytes. */
export const brokenWords: Variants = {
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
