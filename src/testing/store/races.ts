import { strict as assert } from 'node:assert'
import type * as FastCheck from 'fast-check'
import type { Claim, Fence, Settlement, SettleResult } from '../../core/transitions.ts'
import type { Store } from '../../core/store.ts'
import { installed } from './fast-check.ts'
import { claimOf, complete, interrupt, outcomeOf, policyOf, release, renew, step, stepOf, times } from './fixtures.ts'
import { textOf, Witness } from './witness.ts'
import { only, safety, type ContractCase, type Subject } from './subject.ts'

/** A turn of time, at which every lease given before it has lapsed; the milliseconds that really pass decide nothing. */
const turnMs = 100_000
const leaseMs = 40_000
const policy = policyOf({ ttlMs: 1_000 * turnMs, attemptsMax: 1_000 })
const operations = 2

/** What becomes of one call on its way: it is answered, or fails for its caller in one of three ways. */
type Fault = 'none' | 'never arrives' | 'answer lost' | 'arrives late'

interface CallerDraft {
  readonly operation: number
  readonly before: 'nothing' | 'renew' | 'step'
  readonly end: 'complete' | 'interrupt' | 'release' | 'crash'
  /** For its calls in their order; beyond them there are none, so that every caller comes to an end. */
  readonly faults: readonly Fault[]
}

interface RaceDraft {
  readonly callers: readonly CallerDraft[]
  /** How often all leases lapse while they race. */
  readonly turns: number
}

/** A call failed, and its caller cannot know whether it was applied. */
class Unknown extends Error {
  override readonly name = 'Unknown'
}

function raceOf(fc: typeof FastCheck): FastCheck.Arbitrary<RaceDraft> {
  const fault: FastCheck.Arbitrary<Fault> = fc.constantFrom('none', 'none', 'never arrives', 'answer lost', 'arrives late')
  const caller: FastCheck.Arbitrary<CallerDraft> = fc.record({
    operation: fc.nat({ max: operations - 1 }),
    before: fc.constantFrom('nothing', 'renew', 'step'),
    end: fc.constantFrom('complete', 'complete', 'complete', 'interrupt', 'release', 'crash'),
    faults: fc.array(fault, { maxLength: 6, size: 'max' }),
  })
  return fc.record({ callers: fc.array(caller, { minLength: 2, maxLength: 6, size: 'max' }), turns: fc.nat({ max: 3 }) })
}

/** Several callers on two instances; the scheduler chooses the order in which calls arrive and answers do. */
class Race {
  readonly witness = new Witness()
  readonly #scheduler: FastCheck.Scheduler
  /** Calls that their callers gave up: they may arrive at any time until the race is over. */
  readonly #late: Promise<unknown>[] = []

  constructor(scheduler: FastCheck.Scheduler) {
    this.#scheduler = scheduler
  }

  async run(racing: readonly Promise<void>[]): Promise<void> {
    await this.#scheduler.waitFor(Promise.all(racing))
    await this.#scheduler.waitFor(Promise.all(this.#late))
  }

  async turns(count: number, pass: () => void): Promise<void> {
    for (let turn = 0; turn < count; turn += 1) {
      await this.#happens('a turn passes')
      this.witness.turn()
      pass()
    }
  }

  /** Makes one call again and again until it is answered. */
  async answered<Answer>(faults: Fault[], call: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      try {
        return await this.#sent(faults.shift() ?? 'none', call)
      } catch (error) {
        if (!(error instanceof Unknown)) throw error
      }
    }
  }

  async #sent<Answer>(fault: Fault, call: () => Promise<Answer>): Promise<Answer> {
    if (fault === 'none') return this.#arrives(call)
    if (fault === 'arrives late') this.#late.push(handled(this.#arrives(call)))
    if (fault === 'answer lost') await this.#arrives(call)
    await this.#happens(fault)
    throw new Unknown(fault)
  }

  async #arrives<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    await this.#happens('a call arrives')
    return this.#scheduler.schedule(handled(call()), 'an answer arrives')
  }

  async #happens(label: string): Promise<void> {
    await this.#scheduler.schedule(Promise.resolve(), label)
  }
}

/** Its rejection is seen by whoever awaits it; where a race has failed already, nobody does. */
function handled<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => undefined)
  return promise
}

/** One caller: claims its operation until it owns an attempt or is told the outcome, then does its work and says so. */
class Caller {
  readonly #race: Race
  readonly #store: Store
  readonly #draft: CallerDraft
  readonly #claim: Claim
  readonly #faults: Fault[]

  constructor(race: Race, store: Store, draft: CallerDraft, claim: Claim) {
    this.#race = race
    this.#store = store
    this.#draft = draft
    this.#claim = claim
    this.#faults = [...draft.faults]
  }

  async run(): Promise<void> {
    const attempt = await this.#attempt()
    if (attempt === null) return
    const by: Fence = { id: this.#claim.id, attempt, owner: this.#claim.owner }
    if (this.#draft.end === 'release') await this.#settled(release(by.owner, by.id))
    else await this.#work(by)
  }

  /** The attempt it was told to own; null when it was told the outcome, or is tired of hearing that another runs it. */
  async #attempt(): Promise<number | null> {
    const { id, owner } = this.#claim
    for (let tries = 0; tries < 4; tries += 1) {
      const { made, result } = await this.#race.answered(this.#faults, async () => {
        const moment = this.#race.witness.moment(id)
        return { made: moment, result: only(await this.#store.claim([this.#claim])) }
      })
      this.#race.witness.found(id, owner, result, made, this.#draft.end === 'release')
      if (result.state === 'claimed') return result.attempt
      if (result.state === 'completed') return null
    }
    return null
  }

  async #work(by: Fence): Promise<void> {
    const { before, end } = this.#draft
    if (before !== 'nothing')
      await this.#renewed(by, before === 'renew' ? renew(by, leaseMs) : step(by, stepOf(`by ${by.owner}`), leaseMs))
    if (end === 'crash') return
    this.#race.witness.ends(by)
    const outcome = outcomeOf(`by ${by.owner}, attempt ${by.attempt}`)
    if (end === 'interrupt') await this.#settled(interrupt(by))
    else if ((await this.#settled({ kind: 'complete', ...by, outcome })) === 'ok') this.#race.witness.completed(by, outcome)
  }

  async #renewed(by: Fence, settlement: Settlement): Promise<void> {
    const { made, result } = await this.#race.answered(this.#faults, async () => {
      const moment = this.#race.witness.moment(by.id)
      return { made: moment, result: only(await this.#store.settle([settlement])) }
    })
    if (result === 'ok') this.#race.witness.renewed(by, made)
  }

  async #settled(settlement: Settlement): Promise<SettleResult> {
    return this.#race.answered(this.#faults, async () => only(await this.#store.settle([settlement])))
  }
}

function claimBy(scope: string, operation: number, caller: number): Claim {
  return claimOf({ scope, key: `key-${operation}`, owner: `owner-${caller}`, leaseMs, policy })
}

async function raced(subject: Subject, stores: readonly Store[], race: Race, draft: RaceDraft, scope: string): Promise<void> {
  const callers = draft.callers.map((caller, index) => {
    const store = stores[index % stores.length]
    assert.ok(store !== undefined)
    return new Caller(race, store, caller, claimBy(scope, caller.operation, index)).run()
  })
  await race.run([...callers, race.turns(draft.turns, () => subject.pass(turnMs))])
  for (const store of stores) await assertAgreed(store, race.witness, scope)
}

/** That what was acknowledged or handed out is what every instance shows in the end. */
async function assertAgreed(store: Store, witness: Witness, scope: string): Promise<void> {
  for (let operation = 0; operation < operations; operation += 1) {
    const { id } = claimBy(scope, operation, 0)
    const told = witness.outcomeOf(id)
    const outcome = only(await store.find([id]))?.record.outcome ?? null
    if (told !== null) assert.equal(outcome && textOf(outcome), told, 'an acknowledged outcome stays')
  }
}

/** The lives of an attempt, call by call, and what the operation amounts to in the end. */
const lives: readonly { readonly calls: readonly Settlement[]; readonly end: string | undefined }[] = [
  { calls: [step(), renew(), complete()], end: 'completed' },
  { calls: [step(), renew(), interrupt()], end: 'interrupted' },
  { calls: [release()], end: undefined },
]

/** One life in which the call at `at` is made twice, as after a lost answer, and once more when all is over: a copy that was late. */
async function livedTwice(subject: Subject, { calls, end }: (typeof lives)[number], at: number): Promise<void> {
  const makes = [async () => subject.claim(), ...calls.map((each) => async () => subject.settle(each))]
  for (const [index, make] of makes.entries()) {
    const answer = await make()
    if (index === at) assert.deepEqual(await make(), answer, 'a call that is made again is answered as it was')
  }
  // A claim after its own release is the one late copy that begins anew: nobody is behind it, and it lapses.
  if (end !== undefined || at > 0) await makes[at]?.()
  assert.equal((await subject.view())?.state, end)
}

/** Races whose order fast-check chooses, with calls that fail on the way there or back. */
export const raceCases: readonly ContractCase[] = [
  safety('a call of an attempt made again after a lost answer is answered alike, and the end is the same', async (subject) => {
    for (const life of lives)
      for (let at = 0; at <= life.calls.length; at += 1) {
        await livedTwice(subject, life, at)
        subject.pass(leaseMs + times.ttlMs + turnMs)
      }
  }),
  safety('callers that race, lose requests and answers and ask again: one owner at a time, one outcome', async (subject) => {
    const fc = await installed(() => import('fast-check'))
    const { runs, seed } = subject.settings
    const stores = await subject.pair()
    let scopes = 0
    const property = fc.asyncProperty(fc.scheduler(), raceOf(fc), async (scheduler, draft) => {
      scopes += 1
      await raced(subject, stores, new Race(scheduler), draft, `scope-${scopes}`)
    })
    await fc.assert(property, { numRuns: runs, ...(seed === undefined ? {} : { seed }) })
  }),
]
