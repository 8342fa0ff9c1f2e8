import { strict as assert } from 'node:assert'
import { limits } from '../../core/limits.ts'
import type { Claim, ClaimResult } from '../../core/transitions.ts'
import type { Store } from '../../core/store.ts'
import { assertFound, assertFoundAll, assertSeen, type Expected } from './assertions.ts'
import { claimOf, claimsOf, complete, fence, interrupt, outcomeOf, renew, sha256, step, stepOf, times } from './fixtures.ts'
import { safety, type ContractCase, type Subject } from './subject.ts'

const { leaseMs } = times
const first: Expected = { state: 'claimed', attempt: 1, steps: [] }
const busy: Expected = { state: 'busy', leaseMs }
const ids = (claims: readonly Claim[]): readonly string[] => claims.map(({ id }) => id)

/** Completes each of the claims' first attempts, in one batch; the outcome tells the owner and the key. */
async function completeAll(store: Store, claims: readonly Claim[]): Promise<readonly string[]> {
  return store.settle(claims.map(({ id, owner, key }) => complete(fence(1, owner, id), `${owner} ${key}`)))
}

function completedBy(claims: readonly Claim[]): readonly Expected[] {
  return claims.map(({ owner, key }) => ({ state: 'completed', outcome: outcomeOf(`${owner} ${key}`) }))
}

const batches: readonly ContractCase[] = [
  safety('an empty batch has no results', async (subject) => {
    assert.deepEqual([...(await subject.store.claim([]))], [])
    assert.deepEqual([...(await subject.store.settle([]))], [])
    assert.deepEqual([...(await subject.store.find([]))], [])
  }),
  safety('the results of a batch stand in the order of its claims and settlements', async (subject) => {
    const claims = claimsOf(9)
    await subject.store.claim(claims.filter((_, index) => index % 3 === 0))
    await completeAll(subject.store, claims.slice(0, 1))
    const numbers = [8, 7, 6, 5, 4, 3, 2, 1, 0]
    const others = numbers.map((number) => claimOf({ key: `key-${number}`, owner: 'owner-2' }))
    const completed = { state: 'completed', outcome: outcomeOf('owner-1 key-0') } as const
    const expected = numbers.map((number) => (number === 0 ? completed : number % 3 === 0 ? busy : first))
    assertFoundAll(await subject.store.claim(others), expected)
    const settled = numbers.map((number) => (number % 3 === 0 ? 'stale' : 'ok'))
    assert.deepEqual([...(await completeAll(subject.store, others))], settled)
  }),
  safety('the second claim of an operation in one batch is busy, a mismatch, or its own attempt', async (subject) => {
    const claims = [{}, { owner: 'owner-2' }, { owner: 'owner-2', fingerprint: sha256('other input') }, {}].map(claimOf)
    assertFoundAll(await subject.store.claim(claims), [first, busy, { state: 'mismatch' }, first])
    await subject.settled(complete())
  }),
  safety('the settlements of an operation in one batch follow each other', async (subject) => {
    await subject.claim()
    const given = [step(), renew(), interrupt(fence(1, 'owner-9')), complete(), complete(), interrupt(), renew()]
    const results = await subject.store.settle(given)
    assert.deepEqual([...results], ['ok', 'ok', 'stale', 'ok', 'ok', 'stale', 'stale'])
    assertFound(await subject.claim(), { state: 'completed', outcome: outcomeOf('outcome') })
  }),
  safety('an interruption and the claims after it in their own batches give one next attempt', async (subject) => {
    await subject.claim()
    const settled = await subject.store.settle([step(fence(), stepOf('one')), step(fence(), stepOf('two')), interrupt()])
    assert.deepEqual([...settled], ['ok', 'ok', 'ok'])
    const found = await subject.store.claim([claimOf({ owner: 'owner-2' }), claimOf({ owner: 'owner-3' })])
    assertFoundAll(found, [{ state: 'claimed', attempt: 2, steps: [stepOf('one'), stepOf('two')] }, busy])
  }),
  safety('a stale settlement keeps none of its batch back', async (subject) => {
    const claims = claimsOf(3)
    await subject.store.claim(claims)
    const results = await subject.store.settle(
      claims.map(({ id, owner }, index) => complete(fence(index === 1 ? 2 : 1, owner, id))),
    )
    assert.deepEqual([...results], ['ok', 'stale', 'ok'])
    const states = (await subject.store.find(ids(claims))).map((view) => view?.state)
    assert.deepEqual(states, ['completed', 'running', 'completed'])
  }),
  safety(`a batch holds ${limits.batchMax} claims or settlements`, async (subject) => {
    const claims = claimsOf(limits.batchMax)
    const found = await subject.store.claim(claims)
    assert.ok(found.length === claims.length && found.every(({ state }) => state === 'claimed'))
    assert.ok((await completeAll(subject.store, claims)).every((result) => result === 'ok'))
    assertFoundAll(await subject.store.claim(claims), completedBy(claims))
  }),
  safety('find gives the records in the order asked for, the same one twice, and null where there is none', async (subject) => {
    const [one, two] = claimsOf(2)
    assert.ok(one && two)
    await subject.store.claim([one, two])
    const found = await subject.store.find([two.id, claimOf().id, one.id, two.id])
    assert.deepEqual(
      found.map((view) => view?.record.key),
      ['key-1', undefined, 'key-0', 'key-1'],
    )
  }),
]

const refused: readonly ContractCase[] = [
  safety('a batch of which one claim is refused is refused with StoreDataError as a whole', async (subject) => {
    const make = subject.refused?.claim
    if (make === undefined) return
    const taken = claimsOf(3)
    const spoilt = taken.map((claim, index) => (index === 1 ? make(claim) : claim))
    await assert.rejects(subject.store.claim(spoilt), { name: 'StoreDataError', code: 'store_data' })
    assert.deepEqual([...(await subject.store.find(ids(taken)))], [null, null, null])
  }),
  safety('a call made together with one that is refused is told what became of it', async (subject) => {
    const make = subject.refused?.claim
    if (make === undefined) return
    const [one, two, three] = claimsOf(3)
    assert.ok(one && two && three)
    const calls = [one, make(two), three].map(async (claim) => subject.store.claim([claim]))
    const [before, itself, after] = await Promise.allSettled(calls)
    assert.equal(itself?.status, 'rejected')
    const views = await subject.store.find([one.id, three.id])
    assert.deepEqual(
      [before, after].map((answer) => answer?.status === 'fulfilled'),
      views.map((view) => view !== null),
    )
  }),
  safety('a batch of which one settlement is refused is refused with StoreDataError as a whole', async (subject) => {
    const make = subject.refused?.settlement
    if (make === undefined) return
    const claims = claimsOf(3)
    await subject.store.claim(claims)
    const before = await subject.store.find(ids(claims))
    const settlements = claims.map(({ id, owner }) => complete(fence(1, owner, id)))
    const spoilt = settlements.map((settlement, index) => (index === 1 ? make(settlement) : settlement))
    await assert.rejects(subject.store.settle(spoilt), { name: 'StoreDataError', code: 'store_data' })
    const after = await subject.store.find(ids(claims))
    for (const [index, view] of before.entries()) assertSeen(after[index], view)
  }),
]

const instances: readonly ContractCase[] = [
  safety('of claims of many operations by two instances at once, one each is claimed and the other is busy', async (subject) => {
    const [one, other] = await subject.pair()
    const each = async (store: Store, owner: string): Promise<readonly ClaimResult[]> =>
      (await Promise.all(claimsOf(50, { owner }).map(async (claim) => store.claim([claim])))).flat()
    const [found, foundThere] = await Promise.all([each(one, 'owner-1'), each(other, 'owner-2')])
    assertOneOwnerEach(found, foundThere)
  }),
  safety('batches of two instances over the same operations in opposite orders end, with one owner each', async (subject) => {
    const [one, other] = await subject.pair()
    for (let round = 0; round < 5; round += 1) {
      const scope = `scope-${round}`
      const mine = claimsOf(20, { scope, owner: 'owner-1' })
      const theirs = claimsOf(20, { scope, owner: 'owner-2' }).toReversed()
      const [found, foundThere] = await Promise.all([one.claim(mine), other.claim(theirs)])
      assertOneOwnerEach(found, foundThere.toReversed())
      const settled = await Promise.all([completeAll(one, mine), completeAll(other, theirs)])
      assertOneEach(settled[0] ?? [], (settled[1] ?? []).toReversed(), 'ok', 'stale')
    }
  }),
  safety('what one instance settled the other is told, and a fence of one holds at the other', async (subject) => {
    const [one, other] = await subject.pair()
    await one.claim([claimOf()])
    assertFoundAll(await other.claim([claimOf({ owner: 'owner-2' })]), [busy])
    assert.deepEqual([...(await other.settle([complete(fence(1, 'owner-2'))]))], ['stale'])
    assert.deepEqual([...(await other.settle([step()]))], ['ok'])
    assert.deepEqual([...(await one.settle([complete()]))], ['ok'])
    assertFoundAll(await other.claim([claimOf()]), [{ state: 'completed', outcome: outcomeOf('outcome') }])
    assertSeen((await other.find([claimOf().id]))[0], (await one.find([claimOf().id]))[0] ?? null)
  }),
  safety('a lapsed operation is taken over once by two instances that claim it at once', async (subject) => {
    const [one, other] = await subject.pair()
    await one.claim(claimsOf(20, { owner: 'owner-0' }))
    subject.pass(leaseMs + times.afterMs)
    const [found, foundThere] = await Promise.all([one.claim(claimsOf(20)), other.claim(claimsOf(20, { owner: 'owner-2' }))])
    assertOneOwnerEach(found, foundThere)
  }),
  { ...safety('many instances open on a fresh database at once, and all work', openManyAtOnce), opened: false },
]

/** Schema creation raced: each opens on its own, none may fail. */
async function openManyAtOnce(subject: Subject): Promise<void> {
  const others = await Promise.all(Array.from({ length: 7 }, async () => subject.another()))
  const stores = [subject.store, ...others.filter((store) => store !== null)]
  await Promise.all(stores.map(async (store) => store.open()))
  const found = await Promise.all(stores.map(async (store, index) => store.claim([claimOf({ owner: `owner-${index}` })])))
  assert.equal(found.flat().filter(({ state }) => state === 'claimed').length, 1)
}

function assertOneOwnerEach(found: readonly ClaimResult[], foundThere: readonly ClaimResult[]): void {
  const states = [found, foundThere].map((results) => results.map(({ state }) => state))
  assertOneEach(states[0] ?? [], states[1] ?? [], 'claimed', 'busy')
}

/** That of each two results at the same place one is this and the other is that. */
function assertOneEach(here: readonly string[], there: readonly string[], one: string, other: string): void {
  assert.equal(here.length, there.length)
  for (const [index, each] of here.entries())
    assert.deepEqual(new Set([each, there[index]]), new Set([one, other]), `of operation ${index}, two were told ${each}`)
}

/** The two tables do not say what a group of calls does together; these cases do. */
export const batchCases: readonly ContractCase[] = [...batches, ...refused, ...instances]
