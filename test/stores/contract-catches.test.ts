import { test } from 'node:test'
import { strict as assert } from 'node:assert'
import * as fc from 'fast-check'
import { storeContract, type OpenDatabase, type StoreContractOptions } from '../../src/testing/store-contract.ts'
import { brokenLives, brokenStores, brokenTables, type MakeStore } from './broken-stores.ts'
import { refusedWord, Shelf, TableStore } from './table-store.ts'

/** That a variant fails is enough to know here; which are the fewest commands that make it fail is not. */
fc.configureGlobal({ endOnFailure: true })

function shelfOf(Variant: MakeStore): OpenDatabase {
  return async ({ clockOffsetMs }) => {
    const shelf = new Shelf()
    return {
      store: new Variant(shelf, clockOffsetMs),
      second: async () => new Variant(shelf, clockOffsetMs),
      refused: {
        claim: (taken) => ({ ...taken, fingerprint: refusedWord }),
        settlement: (taken) => ({ ...taken, owner: refusedWord }),
      },
      close: async () => {},
    }
  }
}

type Case = { readonly name: string; readonly body: () => Promise<void> }

function casesOf(open: OpenDatabase, options: StoreContractOptions = {}): readonly Case[] {
  const cases: Case[] = []
  storeContract((name, body) => cases.push({ name, body }), open, options)
  return cases
}

/** The names of the cases that fail on a variant; they run side by side, so that none waits for another's timeout. */
async function failuresOf(cases: readonly Case[]): Promise<readonly string[]> {
  const results = await Promise.allSettled(cases.map(async ({ body }) => body()))
  return cases.filter((_, index) => results[index]?.status === 'rejected').map(({ name }) => name)
}

/** The cases that fail on each variant. A group of them goes side by side: much of it is waiting for what never comes. */
async function failuresOfGroup(
  variants: Readonly<Record<string, MakeStore>>,
): Promise<[fault: string, names: readonly string[]][]> {
  const failing = Object.values(variants).map(async (Variant) => failuresOf(casesOf(shelfOf(Variant), { runs: 5, seed: 1 })))
  const names = await Promise.all(failing)
  return Object.keys(variants).map((fault, index) => [fault, names[index] ?? []])
}

// Before the first test: the runner's hooks cost each promise as much again.
const waiting = failuresOfGroup(brokenLives)
const failures = new Map<string, readonly string[]>()
for (const group of brokenStores) for (const [fault, names] of await failuresOfGroup(group)) failures.set(fault, names)
for (const [fault, names] of await waiting) failures.set(fault, names)

test('the suite passes on a sound store with several instances, which refuses data', async () => {
  assert.deepEqual(await failuresOf(casesOf(shelfOf(TableStore))), [])
})

for (const [fault, names] of failures)
  test(`the suite fails where ${fault}`, () => {
    assert.notEqual(names.length, 0)
  })

test('every case of the suite fails on at least one broken store', () => {
  const seen = new Set([...failures.values()].flat())
  const names = casesOf(shelfOf(TableStore)).map(({ name }) => name)
  assert.deepEqual(
    names.filter((name) => !seen.has(name)),
    [],
  )
})

/** What the random commands do not find: one needs other words than theirs, one a chain of five moves that is too rare. */
const beyondCommands = ['an owner is compared without case', 'a completion again is stale once a sweep came by']

test('random commands alone fail on every table that is wrong, but for two', async () => {
  const property = 'any sequence of calls does what the transition tables say'
  const missed: string[] = []
  for (const [fault, Variant] of Object.entries(brokenTables)) {
    const cases = casesOf(shelfOf(Variant), { runs: 300, seed: 1 }).filter(({ name }) => name === property)
    assert.equal(cases.length, 1)
    if ((await failuresOf(cases)).length === 0) missed.push(fault)
  }
  assert.deepEqual(
    missed.filter((fault) => !beyondCommands.includes(fault)),
    [],
  )
})
