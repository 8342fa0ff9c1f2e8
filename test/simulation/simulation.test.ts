import assert from 'node:assert/strict'
import { once as eventOf } from 'node:events'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { assertNoUnhandledRejections } from '../engine/support.ts'
import { CarelessStore, FencelessStore, LeaselessStore } from './broken-stores.ts'
import { simulate, type Report, type Variant } from './simulation.ts'
import type { Counts } from './counts.ts'
import type { SeedsRun, SeedsWanted } from './seeds.ts'

assertNoUnhandledRejections()

/** `ONCEWARD_SEED=7` runs that seed alone, `ONCEWARD_SEEDS=100000` more of them. */
const only = Number(process.env['ONCEWARD_SEED'] ?? 0)
const seeds = only > 0 ? [only] : Array.from({ length: Number(process.env['ONCEWARD_SEEDS'] ?? 1_000) }, (_, index) => index + 1)

/** Runs these seeds, none of which may go wrong. In a worker: the test runner's watch over every promise would take most of the time. */
async function run(wanted: SeedsWanted): Promise<Counts> {
  const worker = new Worker(new URL('./seeds.ts', import.meta.url), { workerData: wanted })
  const [{ wrong, totals }] = (await eventOf(worker, 'message')) as [SeedsRun]
  if (wrong !== undefined) assert.fail(explain(wrong))
  return totals
}

function explain({ seed, violations, trace }: Report): string {
  const replay = `ONCEWARD_SEED=${seed} npm test -- test/simulation/simulation.test.ts`
  return `${violations.join('\n')}\n\nwhat happened, as ${replay} shows again:\n${trace.slice(-80).join('\n')}`
}

/** The first seed that goes wrong like this in this variant, if one does. */
async function seedThatShows(violation: RegExp, variant: Variant): Promise<number | undefined> {
  for (let seed = 1; seed <= 500; seed += 1) {
    const { violations } = await simulate(seed, variant)
    if (violations.some((each) => violation.test(each))) return seed
  }
  return undefined
}

describe('processes that stall, crash and are cut off, on a network that loses, delays and breaks calls', () => {
  test('answer every client in the end, for one key with one outcome, which is recorded once and never changes', async () => {
    const totals = await run({ seeds })
    const unseen = Object.entries(totals).filter(([, count]) => count === 0)
    if (only === 0) assert.deepEqual(unseen, [], 'the runs went through all that they are about')
  })

  test('execute nothing twice where an interrupted attempt holds the operation', async () => {
    await run({ seeds: seeds.slice(0, 300), interrupted: 'hold' })
  })

  test('do the same from the same seed, event for event', async () => {
    const [first, second] = [await simulate(17), await simulate(17)]
    assert.deepEqual(first, second)
    assert.ok(first.trace.length > 20)
  })
})

describe('the simulation finds', () => {
  const variants: readonly (readonly [what: string, variant: Variant, violation: RegExp])[] = [
    [
      'a store that accepts a settlement without its fence, from what the store is told',
      { beneath: (inner) => new FencelessStore(inner) },
      /was accepted, but the attempt is/,
    ],
    [
      'a store that takes any settlement for the owner’s',
      { above: (inner) => new FencelessStore(inner), interrupted: 'retry' },
      /was replaced by|answered in different ways|but .* is recorded/,
    ],
    [
      'an engine that hands out the answer of an attempt that was fenced',
      { above: (inner) => new CarelessStore(inner), interrupted: 'retry' },
      /answered in different ways|but .* is recorded/,
    ],
    [
      'a store that grants what somebody else holds a live lease of',
      { beneath: (inner) => new LeaselessStore(inner) },
      /two leases at once/,
    ],
  ]
  for (const [what, variant, violation] of variants)
    test(what, async () => {
      assert.notEqual(await seedThatShows(violation, variant), undefined)
    })
})
