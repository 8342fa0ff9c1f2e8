import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertNoUnhandledRejections } from '../engine/support.ts'
import { CarelessStore, FencelessStore, LeaselessStore } from './broken-stores.ts'
import { noCounts } from './counts.ts'
import { simulate, type Report, type Variant } from './simulation.ts'

assertNoUnhandledRejections()

/** `ONCEWARD_SEED=7` runs that seed alone, `ONCEWARD_SEEDS=100000` more of them. */
const only = Number(process.env['ONCEWARD_SEED'] ?? 0)
const seeds = only > 0 ? [only] : Array.from({ length: Number(process.env['ONCEWARD_SEEDS'] ?? 500) }, (_, index) => index + 1)

function explain({ seed, violations, trace }: Report): string {
  const replay = `ONCEWARD_SEED=${seed} npm test -- test/simulation/simulation.test.ts`
  return `${violations.join('\n')}\n\nwhat happened, as ${replay} shows again:\n${trace.slice(-80).join('\n')}`
}

/** The first run that goes wrong in this variant, if one does. */
async function firstViolation(variant: Variant, seedsMax: number): Promise<string | undefined> {
  for (let seed = 1; seed <= seedsMax; seed += 1) {
    const { violations } = await simulate(seed, variant)
    if (violations.length > 0) return violations.join('; ')
  }
  return undefined
}

describe('processes that stall, crash and are cut off, on a network that loses, delays and breaks calls', () => {
  const totals = noCounts()
  const counted = Object.keys(totals) as (keyof typeof totals)[]

  test('answer every client in the end, for one key with one outcome, which is recorded once and never changes', async () => {
    for (const seed of seeds) {
      const report = await simulate(seed)
      assert.equal(report.violations.length, 0, explain(report))
      for (const what of counted) totals[what] += report.counts[what]
    }
  })

  test('went through all that these runs are about', { skip: only > 0 }, () => {
    for (const what of counted) assert.ok(totals[what] > 0, `${what}: never in ${seeds.length} runs`)
  })

  test('execute nothing twice where an interrupted attempt holds the operation', async () => {
    for (const seed of seeds.slice(0, 200)) {
      const report = await simulate(seed, { interrupted: 'hold' })
      assert.equal(report.violations.length, 0, explain(report))
    }
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
      assert.match((await firstViolation(variant, 500)) ?? 'nothing', violation)
    })
})
