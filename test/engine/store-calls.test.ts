import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FaultyStore } from './faulty-store.ts'
import { Handler, assertNoUnhandledRejections, charge, inVirtualTime, virtualMemory } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

describe('the engine’s calls to a store', () => {
  test('that works within the turn reach it at the end of the turn: claims and settlements in one callback', async () => {
    const time = new VirtualTime()
    const store = new TurnsStore(virtualMemory(time))
    const platform = time.platform()
    const endOfTurn = platform.endOfTurn
    let turns = 0
    const { once } = inVirtualTime(time, {
      store,
      platform: {
        ...platform,
        endOfTurn: (callback) =>
          endOfTurn?.(() => {
            store.turn = turns += 1
            callback()
            store.turn = 0
          }),
      },
    })
    const handler = new Handler<string>()
    const calls = ['k-1', 'k-2'].map((key) => once.run({ ...charge, key }, handler.work))
    await time.until(handler.started(2))
    store.log.length = 0
    handler.run(1).resolve('done')
    handler.run(2).resolve('done')
    calls.push(
      once.run({ ...charge, key: 'k-3' }, async () => 'done'),
      once.run({ ...charge, key: 'k-4' }, async () => 'done'),
    )
    await time.until(Promise.all(calls))
    const [first] = store.log
    assert.ok(first !== undefined && first.turn > 0)
    assert.deepEqual(store.log.slice(0, 2), [
      { call: 'claim', items: 2, turn: first.turn },
      { call: 'settle', items: 2, turn: first.turn },
    ])
  })

  test('that answers later reach it at the end of the turn as well: those of one turn together', async () => {
    const time = new VirtualTime()
    const store = new TurnsStore(virtualMemory(time), { synchronous: false })
    const { once } = inVirtualTime(time, { store })
    await time.until(once.open())
    const running = ['k-1', 'k-2', 'k-3'].map((key) => once.run({ ...charge, key }, async () => 'done'))
    assert.deepEqual(await time.until(Promise.all(running)), ['done', 'done', 'done'])
    assert.deepEqual(store.log, [
      { call: 'claim', items: 3, turn: 0 },
      { call: 'settle', items: 3, turn: 0 },
    ])
  })
})

/** A store that notes in which callback it was called. */
class TurnsStore extends FaultyStore {
  turn = 0
  readonly log: { readonly call: string; readonly items: number; readonly turn: number }[] = []

  override claim(...[claims]: Parameters<FaultyStore['claim']>): ReturnType<FaultyStore['claim']> {
    this.log.push({ call: 'claim', items: claims.length, turn: this.turn })
    return super.claim(claims)
  }

  override settle(...[settlements]: Parameters<FaultyStore['settle']>): ReturnType<FaultyStore['settle']> {
    this.log.push({ call: 'settle', items: settlements.length, turn: this.turn })
    return super.settle(settlements)
  }
}
