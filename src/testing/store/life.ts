import { strict as assert } from 'node:assert'
import { getEventListeners } from 'node:events'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { limits } from '../../core/limits.ts'
import type { Settlement } from '../../core/transitions.ts'
import type { Store } from '../../core/store.ts'
import { assertFoundAll } from './assertions.ts'
import { claimOf, claimsOf, complete, fence, interrupt, outcomeOf, release } from './fixtures.ts'
import { courtesy, only, safety, type ContractCase, type Subject } from './subject.ts'

/** Long enough for a notification on a machine that stalls. */
const watchMs = 5_000
/** For a watch to be in place before the change comes. */
const settleInMs = 50

/** One caller runs the operation, another found it busy and watches it. Resolves when the watch does, after the settlement. */
async function watchedUntil(subject: Subject, settlement: Settlement): Promise<void> {
  const [one, other] = await subject.pair()
  if (other.watch === undefined) return
  await one.claim([claimOf()])
  assert.equal(only(await other.claim([claimOf({ owner: 'owner-2' })])).state, 'busy')
  const waiting = new AbortController()
  const seen = other.watch([claimOf({ key: 'another' }).id, fence().id], waiting.signal)
  await sleep(settleInMs)
  await one.settle([settlement])
  const late = sleep(watchMs, 'late', { signal: waiting.signal })
  assert.notEqual(await Promise.race([seen, late]), 'late', 'the watch resolves')
  assert.equal(getEventListeners(waiting.signal, 'abort').length, 1, 'only the timer of this case listens')
  waiting.abort()
  await late.catch(() => undefined)
}

const watching: readonly ContractCase[] = [
  courtesy('watch resolves when one of the operations completes', async (subject) => watchedUntil(subject, complete())),
  courtesy('watch resolves when one of the operations is interrupted', async (subject) => watchedUntil(subject, interrupt())),
  courtesy('watch resolves when one of the operations is released', async (subject) => watchedUntil(subject, release())),
  courtesy("watch rejects with its signal's reason, and leaves nothing on the signal", async (subject) => {
    const { store } = subject
    if (store.watch === undefined) return
    const reason = new Error('no longer waiting')
    const waiting = new AbortController()
    const seen = assert.rejects(store.watch([fence().id], waiting.signal), reason)
    await sleep(settleInMs)
    waiting.abort(reason)
    await seen
    await assert.rejects(store.watch([fence().id], AbortSignal.abort(reason)), reason)
    assert.equal(getEventListeners(waiting.signal, 'abort').length, 0)
  }),
]

/** Every call of a store, by name. */
const calls: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  claim: async (store) => store.claim([claimOf()]),
  settle: async (store) => store.settle([complete()]),
  find: async (store) => store.find([fence().id]),
  list: async (store) => store.list({ scope: 'none' }, 1),
  purge: async (store) => store.purge({ scope: 'none' }, 1),
  sweep: async (store) => store.sweep(1),
}

const closing: readonly ContractCase[] = [
  courtesy('a store says what it guarantees, and why', async ({ store }) => {
    assert.ok(['atomic', 'fenced', 'best-effort'].includes(store.guarantee.tier))
    assert.notEqual(store.guarantee.reason.trim(), '')
    assert.notEqual(store.name.trim(), '')
    assert.equal(typeof store.synchronous, 'boolean')
  }),
  courtesy('a store that is open can be opened again, and keeps its records', async (subject) => {
    await subject.claim()
    await Promise.all([subject.store.open(), subject.store.open()])
    assert.equal((await subject.claim({ owner: 'owner-2' })).state, 'busy')
  }),
  safety('what was acknowledged is there for an instance that opens after all others were closed', async (subject) => {
    await subject.claim()
    await subject.settled(complete())
    const later = await subject.another()
    if (later === null) return
    await subject.close(subject.store)
    await later.open()
    assertFoundAll(await later.claim([claimOf()]), [{ state: 'completed', outcome: outcomeOf('outcome') }])
  }),
  courtesy('close waits for the calls made before it, which are answered', async (subject) => {
    // More than a store looks at in one go.
    for (let batch = 0; batch < 3; batch += 1) await subject.store.claim(claimsOf(limits.batchMax, { scope: `scope-${batch}` }))
    const answered: string[] = []
    for (const [name, call] of Object.entries(calls))
      call(subject.store).then(
        () => answered.push(name),
        (error: unknown) => answered.push(`${name}: ${String(error)}`),
      )
    await subject.close(subject.store)
    // An answer may take some steps through promises from the store to here, but no more than a turn of the loop.
    await turn()
    assert.deepEqual(answered.toSorted(), Object.keys(calls).toSorted())
  }),
  courtesy('a call made after close rejects with an error', async (subject) => {
    await subject.close(subject.store)
    for (const call of Object.values(calls)) await assert.rejects(call(subject.store), Error)
  }),
]

/** How a store is opened, watched and closed. */
export const lifeCases: readonly ContractCase[] = [...watching, ...closing]
