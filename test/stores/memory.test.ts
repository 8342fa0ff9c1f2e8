import { test } from 'node:test'
import { strict as assert } from 'node:assert'
import { memory } from '../../src/stores/memory.ts'
import { storeContract } from 'onceward/testing'
import { claimOf, claimsOf, complete, fence, interrupt, policyOf, times } from '../../src/testing/store/fixtures.ts'

storeContract(
  test,
  async ({ clockOffsetMs }) => ({
    store: memory({ clockOffsetMs }),
    second: { impossible: 'the records are in the instance' },
    refused: { impossible: 'a map takes any data' },
    close: async () => {},
  }),
  {
    deviations: { 'a call made after close rejects with an error': 'there is nothing to close: the records are in the instance' },
  },
)

const full = { name: 'StoreFullError', code: 'store_full' }

test('the memory store refuses a further operation when it is full, and forgets none that has not expired', async () => {
  const store = memory({ recordsMax: 3 })
  await store.claim(claimsOf(3))
  await assert.rejects(store.claim([claimOf()]), full)
  const found = await store.claim(claimsOf(3, { owner: 'owner-2' }))
  assert.deepEqual(
    found.map(({ state }) => state),
    ['busy', 'busy', 'busy'],
  )
})

test('a batch for which the memory store has no room is refused as a whole', async () => {
  const store = memory({ recordsMax: 3 })
  await store.claim(claimsOf(2))
  const more = [claimOf({ key: 'one more' }), claimOf({ key: 'two more' })]
  await assert.rejects(store.claim(more), full)
  assert.deepEqual(await store.find(more.map(({ id }) => id)), [null, null])
  await store.claim([...claimsOf(2, { owner: 'owner-2' }), ...more.slice(1), ...more.slice(1)])
})

test('the memory store never keeps more records than it may, though a batch claims expired operations anew', async () => {
  let offsetMs = 0
  const store = memory({ recordsMax: 3, clockOffsetMs: () => offsetMs })
  await store.claim(claimsOf(3))
  offsetMs += times.leaseMs + times.ttlMs + times.afterMs
  await assert.rejects(store.claim(claimsOf(4)), full)
  await store.claim(claimsOf(3))
  assert.equal((await store.list({}, 10)).records.length, 3)
})

test('the memory store makes room of what has expired', async () => {
  let offsetMs = 0
  const store = memory({ recordsMax: 2, clockOffsetMs: () => offsetMs })
  const [old] = claimsOf(1, { policy: policyOf({ ttlMs: 1 }) })
  assert.ok(old)
  await store.claim([old, claimOf({ leaseMs: 10 * times.leaseMs })])
  offsetMs += 2 * times.leaseMs
  assert.equal((await store.claim([claimOf({ key: 'new' })]))[0]?.state, 'claimed')
  assert.equal((await store.find([claimOf().id]))[0]?.state, 'running')
})

test('an outcome beyond the bytes that the memory store may keep is completed as not kept, and room comes back', async () => {
  const store = memory({ bytesMax: 1_000 })
  const [one, two, three] = claimsOf(3).map(({ id, owner }) => fence(1, owner, id))
  await store.claim(claimsOf(3))
  const [large, small] = ['x'.repeat(900), 'x'.repeat(200)]
  assert.deepEqual(await store.settle([complete(one, large), complete(two, small)]), ['ok', 'ok'])
  const kept = async (): Promise<(boolean | undefined)[]> =>
    (await store.find(claimsOf(3).map(({ id }) => id))).map((view) => view?.record.outcome?.kept)
  assert.deepEqual(await kept(), [true, false, undefined])
  assert.deepEqual(await store.settle([complete(two, small)]), ['ok'])
  assert.deepEqual(await kept(), [true, false, undefined])
  assert.equal(await store.purge({ keyPrefix: 'key-0' }, 1), 1)
  assert.deepEqual(await store.settle([complete(three, large)]), ['ok'])
  assert.deepEqual(await kept(), [undefined, false, true])
})

test('a sweep of the memory store comes by every record, however few it looks at and whatever is claimed in between', async () => {
  let offsetMs = 0
  const store = memory({ clockOffsetMs: () => offsetMs })
  const claims = claimsOf(20)
  await store.claim(claims)
  await store.settle(claims.map(({ id, owner }) => interrupt(fence(1, owner, id))))
  offsetMs += times.ttlMs + times.afterMs
  let swept = 0
  for (let round = 0; round < 60; round += 1) {
    swept += await store.sweep(2)
    await store.claim([claimOf({ key: `another ${round}` })])
  }
  assert.equal(swept, 20)
})
