import { strict as assert } from 'node:assert'
import type { RecordFilter, RecordView, Store } from '../../core/store.ts'
import type { Claim, Fence } from '../../core/transitions.ts'
import { assertFound, assertSeen } from './assertions.ts'
import { claimOf, claimsOf, complete, fence, interrupt, policyOf, step, times } from './fixtures.ts'
import { courtesy, safety, type ContractCase, type Subject } from './subject.ts'

const { leaseMs, ttlMs, afterMs } = times
const foreverMs = 1_000 * ttlMs
const states = ['running', 'interrupted', 'held', 'completed', 'expired'] as const

/** The keys that `oneOfEach` leaves in each state. */
const keysIn: Readonly<Record<RecordView['state'], readonly string[]>> = {
  running: ['running'],
  interrupted: ['interrupted', 'lapsed'],
  held: ['held', 'lapsed and held'],
  completed: ['completed'],
  expired: ['expired'],
}
const present = states.flatMap((state) => keysIn[state]).toSorted()

/** Operations in each state, named for it by their keys, and one that counts as absent. */
async function oneOfEach(subject: Subject): Promise<void> {
  const lasting = policyOf({ ttlMs: foreverMs })
  const holding = policyOf({ ttlMs: foreverMs, attemptsMax: 1 })
  const brief = policyOf({ ttlMs: leaseMs, rememberMs: foreverMs })
  const keys = (policy: Claim['policy'], ...of: readonly string[]): Claim[] => of.map((key) => claimOf({ key, policy }))
  const unended = [
    ...keys(lasting, 'lapsed'),
    ...keys(holding, 'lapsed and held'),
    claimOf({ key: 'running', leaseMs: foreverMs }),
  ]
  const interrupted = [...keys(lasting, 'interrupted'), ...keys(holding, 'held')]
  const completed = [...keys(lasting, 'completed'), ...keys(brief, 'expired'), ...keys({ ...brief, rememberMs: 0 }, 'absent')]
  await subject.store.claim([...unended, ...interrupted, ...completed])
  await subject.store.settle(interrupted.map((claim) => interrupt(fenceOf(claim))))
  await subject.store.settle(completed.map((claim) => complete(fenceOf(claim))))
  subject.pass(2 * leaseMs + afterMs)
}

function fenceOf({ id, owner }: Claim): Fence {
  return fence(1, owner, id)
}

/** The keys of the records meant, sorted. */
async function keysOf(store: Store, filter: RecordFilter): Promise<readonly string[]> {
  const { records, next } = await store.list(filter, 100)
  assert.equal(next, null)
  return records.map(({ record }) => record.key).toSorted()
}

/** The identities of the records meant, page by page. */
async function pagesOf(store: Store, filter: RecordFilter, limit: number): Promise<readonly (readonly string[])[]> {
  const pages: string[][] = []
  let after: string | undefined
  do {
    const { records, next } = await store.list(filter, limit, after)
    pages.push(records.map(({ record }) => record.id))
    after = next ?? undefined
    assert.ok(pages.length <= 100, 'a listing comes to an end')
  } while (after !== undefined)
  return pages
}

/** Completed operations: 24 of two scopes, two names and six keys. */
async function crowd(subject: Subject): Promise<readonly Claim[]> {
  const keys = ['a', 'ab', 'abc', 'b', 'A', 'á']
  const words = ['one', 'two'].flatMap((scope) => ['n', 'm'].flatMap((name) => keys.map((key) => ({ scope, name, key }))))
  const claims = words.map(claimOf)
  await subject.store.claim(claims)
  await subject.store.settle(claims.map((claim) => complete(fenceOf(claim))))
  return claims
}

const listing: readonly ContractCase[] = [
  courtesy('list shows records by what they amount to: lapsed ones as interrupted or held, expired ones not', async (subject) => {
    await oneOfEach(subject)
    assert.deepEqual(await keysOf(subject.store, {}), present)
    for (const state of states) assert.deepEqual(await keysOf(subject.store, { state }), keysIn[state])
  }),
  courtesy('list and find show the same of a record', async (subject) => {
    await oneOfEach(subject)
    const { records } = await subject.store.list({}, 100)
    const found = await subject.store.find(records.map(({ record }) => record.id))
    for (const [index, view] of records.entries()) assertSeen(found[index], view)
  }),
  courtesy('list filters by scope, name and key prefix, one by one and together', async (subject) => {
    await crowd(subject)
    const count = async (filter: RecordFilter): Promise<number> => (await keysOf(subject.store, filter)).length
    assert.equal(await count({ scope: 'one' }), 12)
    assert.equal(await count({ name: 'n' }), 12)
    assert.equal(await count({ keyPrefix: 'a' }), 12)
    assert.equal(await count({ keyPrefix: '' }), 24)
    assert.equal(await count({ scope: 'none' }), 0)
    assert.deepEqual(await keysOf(subject.store, { scope: 'two', name: 'm', keyPrefix: 'ab' }), ['ab', 'abc'])
    assert.equal(await count({ scope: 'two', name: 'm', keyPrefix: 'ab', state: 'completed', olderThanMs: 0 }), 2)
    assert.equal(await count({ scope: 'two', name: 'm', keyPrefix: 'ab', state: 'held' }), 0)
  }),
  courtesy('list filters by age since creation by the clock of the store', async (subject) => {
    await subject.claim({ key: 'old' })
    subject.pass(leaseMs)
    await subject.claim({ key: 'young' })
    assert.deepEqual(await keysOf(subject.store, { olderThanMs: leaseMs / 2 }), ['old'])
    assert.deepEqual(await keysOf(subject.store, { olderThanMs: 2 * leaseMs }), [])
  }),
  courtesy('a key prefix is taken as it is: no character of it is a wildcard, a quote or an end', async (subject) => {
    for (const mark of ['%', '_', '*', '?', '[', '[a]', '\\', "'", '\u0000', '^', '.', '🏳️‍🌈', '\uffff']) {
      const keys = [`${mark}x`, `${mark}${mark}`, 'xx', `x${mark}`, 'a', 'A'].toSorted()
      await subject.store.claim(keys.map((key) => claimOf({ scope: mark, key })))
      const expected = keys.filter((key) => key.startsWith(mark))
      assert.deepEqual(await keysOf(subject.store, { scope: mark, keyPrefix: mark }), expected, JSON.stringify(mark))
    }
  }),
  courtesy('the pages of a list hold each record once, at most their limit, in the order of the identities', async (subject) => {
    const ids = (await crowd(subject)).map(({ id }) => id).toSorted()
    for (const limit of [1, 5, 12, 24, 100]) {
      const pages = await pagesOf(subject.store, {}, limit)
      assert.deepEqual(pages.flat(), ids)
      assert.equal(pages.length, Math.ceil(ids.length / limit))
    }
    assert.equal((await pagesOf(subject.store, { keyPrefix: 'a', scope: 'one' }, 4)).flat().length, 6)
    assert.deepEqual((await pagesOf(subject.store, { scope: 'none' }, 4)).flat(), [])
  }),
  courtesy('find and list change nothing', async (subject) => {
    await oneOfEach(subject)
    const before = (await subject.store.list({}, 100)).records
    await subject.store.find(before.map(({ record }) => record.id))
    await subject.store.list({}, 3)
    const after = (await subject.store.list({}, 100)).records
    assert.equal(after.length, before.length)
    for (const [index, view] of before.entries()) assertSeen(after[index], view)
  }),
]

const purging: readonly ContractCase[] = [
  safety('purge never removes a running operation, whatever the filter', async (subject) => {
    await oneOfEach(subject)
    assert.equal(await subject.store.purge({ state: 'running' }, 100), 0)
    assert.equal(await subject.store.purge({}, 100), present.length - 1)
    assert.deepEqual(await keysOf(subject.store, {}), ['running'])
    await subject.settled(complete(fenceOf(claimOf({ key: 'running' }))))
  }),
  safety('purge removes only what its filter means', async (subject) => {
    await crowd(subject)
    await subject.claim({ scope: 'young', key: 'a' })
    assert.equal(await subject.store.purge({ olderThanMs: leaseMs }, 100), 0)
    assert.equal(await subject.store.purge({ scope: 'one', name: 'n', keyPrefix: 'ab' }, 100), 2)
    assert.deepEqual(await keysOf(subject.store, { scope: 'one', name: 'n' }), ['A', 'a', 'b', 'á'])
    assert.equal((await keysOf(subject.store, {})).length, 23)
  }),
  courtesy('purge removes the records of a state, and at most its limit', async (subject) => {
    await oneOfEach(subject)
    for (const state of ['interrupted', 'held'] as const) {
      assert.deepEqual([await subject.store.purge({ state }, 1), await subject.store.purge({ state }, 1)], [1, 1])
      assert.equal(await subject.store.purge({ state }, 1), 0)
    }
    assert.equal((await keysOf(subject.store, {})).length, present.length - 4)
  }),
  courtesy('an operation that was purged is claimed as attempt 1 with any input', async (subject) => {
    await subject.claim()
    await subject.settled(step(), interrupt())
    assert.equal(await subject.store.purge({}, 1), 1)
    assertFound(await subject.claim({ fingerprint: 'other' }), { state: 'claimed', attempt: 1, steps: [] })
  }),
]

/** Sweeps as the background does, often enough to come by every record. */
async function sweepAll(store: Store, limit: number): Promise<number> {
  let touched = 0
  for (let round = 0; round < 40; round += 1) {
    const swept = await store.sweep(limit)
    assert.ok(swept >= 0 && swept <= limit, `a sweep of ${limit} touched ${swept}`)
    touched += swept
  }
  return touched
}

const sweeping: readonly ContractCase[] = [
  safety('sweep never touches a record that has not expired', async (subject) => {
    await oneOfEach(subject)
    const before = (await subject.store.list({}, 100)).records
    await sweepAll(subject.store, 3)
    const after = (await subject.store.list({}, 100)).records
    assert.equal(after.length, before.length)
    for (const [index, view] of before.entries()) assertSeen(after[index], view)
  }),
  courtesy('sweep removes what expired, at most its limit at a time, and tells how much it touched', async (subject) => {
    const claims = claimsOf(10)
    await subject.store.claim(claims)
    await subject.store.settle(claims.slice(0, 5).map((claim) => complete(fenceOf(claim))))
    assert.equal(await sweepAll(subject.store, 3), 0)
    subject.pass(leaseMs + ttlMs + afterMs)
    assert.equal(await sweepAll(subject.store, 3), 10)
    assert.equal(await sweepAll(subject.store, 3), 0)
  }),
  courtesy('sweep takes the outcome of an operation that is only remembered, once, and leaves the rest', async (subject) => {
    await subject.claim({ policy: policyOf({ rememberMs: foreverMs }) })
    await subject.settled(complete())
    subject.pass(ttlMs + afterMs)
    assert.equal(await sweepAll(subject.store, 3), 1)
    const view = await subject.view()
    assert.deepEqual([view?.state, view?.record.outcome, view?.record.key], ['expired', null, 'key'])
  }),
]

/** What operators and the background do with records. */
export const operatorCases: readonly ContractCase[] = [...listing, ...purging, ...sweeping]
