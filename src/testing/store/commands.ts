import { strict as assert } from 'node:assert'
import type * as FastCheck from 'fast-check'
import type { Claim, Fence, Settlement } from '../../core/transitions.ts'
import type { Policy } from '../../core/policy.ts'
import type { RecordFilter, RecordView, Store } from '../../core/store.ts'
import { assertFoundAll, assertSeen } from './assertions.ts'
import { installed } from './fast-check.ts'
import { claimOf, interrupt, policyOf, release, renew, resolve, outcomeOf, sha256, step, stepOf } from './fixtures.ts'
import { Model } from './model.ts'
import { safety, type ContractCase, type Subject } from './subject.ts'

/**
 * Time passes in turns; leases, ttls and remembering end between two turns, none of their sums within 20 s of one. So the
 * milliseconds that really pass between the model's look and the store's never decide, on a machine that stalls for seconds too.
 */
const turnMs = 100_000
const leasesMs = [40_000, 240_000]
const policies: readonly Policy[] = [
  policyOf({ ttlMs: 330_000 }),
  policyOf({ ttlMs: 30_000, rememberMs: 220_000 }),
  policyOf({ ttlMs: 330_000, rememberMs: 20_000, attemptsMax: 2 }),
  policyOf({ ttlMs: 130_000, interrupted: { answered: 'retry', thrown: 'retry', lapsed: 'hold' } }),
  policyOf({ ttlMs: 230_000, interrupted: { answered: 'hold', thrown: 'hold', lapsed: 'retry' } }),
]
const owners = ['owner-1', 'owner-2', 'owner-3']
const operations = 3

/** A random command, in numbers that a failure can print; `fence` says how far it is from the present one. */
type Command =
  | { readonly kind: 'claim'; readonly claims: readonly ClaimDraft[] }
  | { readonly kind: 'settle'; readonly settlements: readonly SettlementDraft[] }
  | { readonly kind: 'pass'; readonly turns: number }
  | { readonly kind: 'list' | 'purge'; readonly state: RecordView['state'] | null }
  | { readonly kind: 'sweep'; readonly limit: number }

interface ClaimDraft {
  readonly operation: number
  readonly owner: number
  readonly input: 'same' | 'other'
  readonly policy: number
  readonly lease: number
}

interface SettlementDraft {
  readonly operation: number
  readonly kind: Settlement['kind']
  readonly fence: 'present' | 'earlier attempt' | 'later attempt' | 'other owner'
  readonly cause: 'answered' | 'thrown' | 'uncertain'
  readonly variant: number
}

function commandsOf(fc: typeof FastCheck): FastCheck.Arbitrary<readonly Command[]> {
  const state = fc.constantFrom(null, 'running', 'interrupted', 'held', 'completed', 'expired')
  const command: FastCheck.Arbitrary<Command> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('claim'), claims: batchOf(fc, claimDraftOf(fc)) }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('settle'), settlements: batchOf(fc, settlementDraftOf(fc)) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass'), turns: fc.constantFrom(1, 1, 1, 2, 3, 6) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('list', 'purge'), state }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('sweep'), limit: fc.integer({ min: 1, max: 5 }) }) },
  )
  return fc.array(command, { minLength: 1, maxLength: 30, size: 'max' })
}

function batchOf<Item>(fc: typeof FastCheck, item: FastCheck.Arbitrary<Item>): FastCheck.Arbitrary<readonly Item[]> {
  return fc.oneof(fc.array(item, { minLength: 1, maxLength: 1 }), fc.array(item, { minLength: 1, maxLength: 5 }))
}

function claimDraftOf(fc: typeof FastCheck): FastCheck.Arbitrary<ClaimDraft> {
  return fc.record({
    operation: fc.constantFrom(0, 0, 0, 1, 1, 2),
    owner: fc.nat({ max: owners.length - 1 }),
    input: fc.constantFrom('same', 'same', 'same', 'same', 'same', 'other'),
    policy: fc.nat({ max: policies.length - 1 }),
    lease: fc.nat({ max: leasesMs.length - 1 }),
  })
}

function settlementDraftOf(fc: typeof FastCheck): FastCheck.Arbitrary<SettlementDraft> {
  return fc.record({
    // One more than is ever claimed: an unknown operation.
    operation: fc.constantFrom(0, 0, 0, 0, 1, 1, 2, operations),
    kind: fc.constantFrom(
      'complete',
      'complete',
      'interrupt',
      'interrupt',
      'renew',
      'step',
      'step',
      'step',
      'release',
      'resolve',
    ),
    fence: fc.constantFrom('present', 'present', 'present', 'present', 'earlier attempt', 'later attempt', 'other owner'),
    cause: fc.constantFrom('answered', 'answered', 'thrown', 'thrown', 'uncertain'),
    variant: fc.nat({ max: 1 }),
  })
}

/** One run: the same commands given to a store and to the model, in a scope of its own. */
class Comparison {
  readonly #subject: Subject
  readonly #store: Store
  readonly #scope: string
  readonly #model = new Model()

  constructor(subject: Subject, scope: string) {
    this.#subject = subject
    this.#store = subject.store
    this.#scope = scope
  }

  async run(commands: readonly Command[]): Promise<void> {
    for (const command of commands) {
      await this.#give(command)
      await this.#compare()
    }
  }

  async #give(command: Command): Promise<void> {
    switch (command.kind) {
      case 'claim':
        return this.#claim(command.claims.map((draft) => this.#claimOf(draft)))
      case 'settle':
        return this.#settle(command.settlements.map((draft) => this.#settlementOf(draft)))
      case 'pass':
        this.#subject.pass(command.turns * turnMs)
        return this.#model.pass(command.turns * turnMs)
      case 'list':
        return this.#list(this.#filterOf(command.state))
      case 'purge':
        return this.#purge(this.#filterOf(command.state))
      case 'sweep':
        // Nothing of what it does is to be seen, so the model does not hear of it.
        assert.ok((await this.#store.sweep(command.limit)) <= command.limit, 'a sweep touches no more than its limit')
    }
  }

  async #claim(claims: readonly Claim[]): Promise<void> {
    assertFoundAll(await this.#store.claim(claims), this.#model.claim(claims))
  }

  async #settle(settlements: readonly Settlement[]): Promise<void> {
    assert.deepEqual([...(await this.#store.settle(settlements))], this.#model.settle(settlements))
  }

  async #list(filter: RecordFilter): Promise<void> {
    const expected = this.#model.list(filter)
    const { records, next } = await this.#store.list(filter, operations + 1)
    assert.equal(next, null)
    assert.equal(records.length, expected.length)
    for (const [index, view] of expected.entries()) assertSeen(records[index], view)
  }

  async #purge(filter: RecordFilter): Promise<void> {
    assert.equal(await this.#store.purge(filter, operations + 1), this.#model.purge(filter))
  }

  async #compare(): Promise<void> {
    const ids = Array.from({ length: operations + 1 }, (_, operation) => this.#id(operation))
    const views = await this.#store.find(ids)
    assert.equal(views.length, ids.length)
    for (const [index, id] of ids.entries()) assertSeen(views[index], this.#model.view(id))
  }

  #filterOf(state: RecordView['state'] | null): RecordFilter {
    return { scope: this.#scope, ...(state === null ? {} : { state }) }
  }

  #id(operation: number): string {
    return claimOf({ scope: this.#scope, key: `key-${operation}` }).id
  }

  #claimOf(draft: ClaimDraft): Claim {
    return claimOf({
      scope: this.#scope,
      key: `key-${draft.operation}`,
      fingerprint: sha256(draft.input),
      owner: at(owners, draft.owner),
      leaseMs: at(leasesMs, draft.lease),
      policy: at(policies, draft.policy),
    })
  }

  #fenceOf(draft: SettlementDraft): Fence {
    const id = this.#id(draft.operation)
    const { attempt = 1, owner = '' } = this.#model.record(id) ?? {}
    // An owner id is never empty: the record of a released or resolved operation has none.
    const present = owner === '' ? at(owners, 0) : owner
    const other = at(owners, (owners.indexOf(present) + 1) % owners.length)
    const shift = { 'earlier attempt': -1, 'later attempt': 1, present: 0, 'other owner': 0 }[draft.fence]
    return { id, attempt: attempt + shift, owner: draft.fence === 'other owner' ? other : present }
  }

  #settlementOf(draft: SettlementDraft): Settlement {
    const by = this.#fenceOf(draft)
    switch (draft.kind) {
      case 'complete':
        return { kind: 'complete', ...by, outcome: { ...outcomeOf(`by ${by.owner}, ${draft.cause}`), kept: draft.variant === 0 } }
      case 'interrupt':
        return interrupt(by, draft.cause)
      case 'renew':
        return renew(by, at(leasesMs, draft.variant))
      case 'step':
        return step(by, { ...stepOf(`step ${draft.variant}`), result: outcomeOf(draft.cause) }, at(leasesMs, draft.variant))
      case 'release':
        return release(by.owner, by.id)
      case 'resolve':
        return resolve(draft.variant === 0 ? null : outcomeOf('resolved'), by.id)
    }
  }
}

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  if (item === undefined) throw new RangeError(`no item ${index}`)
  return item
}

/** Random commands, each result and each record compared with the transition tables. */
export const commandCases: readonly ContractCase[] = [
  safety('any sequence of calls does what the transition tables say', async (subject) => {
    const fc = await installed(() => import('fast-check'))
    const { runs, seed } = subject.settings
    let scopes = 0
    const property = fc.asyncProperty(commandsOf(fc), async (commands) => {
      scopes += 1
      await new Comparison(subject, `scope-${scopes}`).run(commands)
    })
    await fc.assert(property, { numRuns: runs, ...(seed === undefined ? {} : { seed }) })
  }),
]
