import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StoreDataError, StoreFullError } from 'onceward'
import { Lane, type LaneOptions } from '../../src/engine/lane.ts'
import { assertNoUnhandledRejections } from './support.ts'

assertNoUnhandledRejections()

interface Item {
  readonly id: string
  readonly nth?: number
}

/** A lane whose batches a test answers by hand. */
class Subject {
  readonly batches: { readonly items: readonly Item[]; readonly reply: PromiseWithResolvers<readonly string[]> }[] = []
  readonly lane: Lane<Item, string>

  constructor(options: Partial<LaneOptions> = {}) {
    const defaults: LaneOptions = { batchMax: 100, inFlightMax: 1, queueMax: 100, schedule: (flush) => flush() }
    const send = (items: readonly Item[]): Promise<readonly string[]> => {
      const reply = Promise.withResolvers<readonly string[]>()
      this.batches.push({ items, reply })
      return reply.promise
    }
    this.lane = new Lane(send, { ...defaults, ...options })
  }

  add(...ids: readonly string[]): Promise<string>[] {
    return ids.map((id) => this.lane.add({ id }))
  }

  /** What was sent, batch by batch. */
  get sent(): string[] {
    return this.batches.map(({ items }) => items.map(({ id }) => id).join(' '))
  }

  /** The newest batch is answered: each item with its own id. */
  async answer(nth = this.batches.length): Promise<void> {
    const batch = this.batches[nth - 1]
    batch?.reply.resolve(batch.items.map(({ id }) => `result ${id}`))
    await turn()
  }

  async fail(error: unknown): Promise<void> {
    this.batches.at(-1)?.reply.reject(error)
    await turn()
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A lane whose store refuses these items' data, and applies nothing of a batch that holds one of them. */
function refusing(
  bad: readonly string[],
  other?: (ids: readonly string[]) => void,
): { lane: Lane<Item, string>; sent: string[] } {
  const sent: string[] = []
  const send = async (items: readonly Item[]): Promise<readonly string[]> => {
    const ids = items.map(({ id }) => id)
    sent.push(ids.join(' '))
    other?.(ids)
    if (ids.some((id) => bad.includes(id))) throw new StoreDataError(`bad data in ${ids.join(' ')}`)
    return ids.map((id) => `result ${id}`)
  }
  return { lane: new Lane(send, { batchMax: 100, inFlightMax: 1, queueMax: 100, schedule: setImmediate }), sent }
}

async function settled(results: readonly Promise<string>[]): Promise<string[]> {
  return (await Promise.allSettled(results)).map((each) => (each.status === 'fulfilled' ? each.value : each.reason.message))
}

describe('a lane', () => {
  test('with nothing on its way sends a call at once', async () => {
    const subject = new Subject()
    const [result] = subject.add('a')
    assert.deepEqual(subject.sent, ['a'])
    await subject.answer()
    assert.equal(await result, 'result a')
  })

  test('sends the calls that come while a batch is on its way together, when that is answered', async () => {
    const subject = new Subject()
    const results = subject.add('a', 'b', 'c')
    assert.deepEqual(subject.sent, ['a'])
    await subject.answer()
    assert.deepEqual(subject.sent, ['a', 'b c'])
    await subject.answer()
    assert.deepEqual(await Promise.all(results), ['result a', 'result b', 'result c'])
  })

  test('does so as well when that failed', async () => {
    const subject = new Subject()
    const results = subject.add('a', 'b')
    await Promise.all([assert.rejects(results[0] ?? turn(), { message: 'away' }), subject.fail(new Error('away'))])
    assert.deepEqual(subject.sent, ['a', 'b'])
    await subject.answer()
    assert.equal(await results[1], 'result b')
  })

  test('sorts a batch by operation, those of one operation in the order in which they came, and gives each its own result', async () => {
    const subject = new Subject()
    const first = subject.add('first')
    const items = [{ id: 'c' }, { id: 'a', nth: 1 }, { id: 'b' }, { id: 'a', nth: 2 }, { id: 'a', nth: 3 }]
    const results = items.map((item) => subject.lane.add(item))
    await subject.answer()
    assert.deepEqual(subject.batches[1]?.items, [
      { id: 'a', nth: 1 },
      { id: 'a', nth: 2 },
      { id: 'a', nth: 3 },
      { id: 'b' },
      { id: 'c' },
    ])
    subject.batches[1]?.reply.resolve(['a1', 'a2', 'a3', 'b', 'c'])
    assert.deepEqual(await Promise.all([...first, ...results]), ['result first', 'c', 'a1', 'b', 'a2', 'a3'])
  })

  test('sends a batch of its greatest size, and what is beyond it in the next', async () => {
    const subject = new Subject({ batchMax: 3 })
    const results = subject.add('first', 'd', 'c', 'b', 'a')
    await subject.answer()
    await subject.answer()
    await subject.answer()
    assert.deepEqual(subject.sent, ['first', 'b c d', 'a'])
    assert.equal((await Promise.all(results)).length, 5)
  })

  test('has no more batches on their way than it may', async () => {
    const subject = new Subject({ inFlightMax: 2 })
    const results = subject.add('a', 'b', 'c', 'd')
    assert.deepEqual(subject.sent, ['a', 'b'])
    await subject.answer(1)
    assert.deepEqual(subject.sent, ['a', 'b', 'c d'])
    await subject.answer(2)
    await subject.answer(3)
    assert.equal((await Promise.all(results)).length, 4)
  })

  test('shares out what waits among the batches that may go, but not a few items', async () => {
    const subject = new Subject({ inFlightMax: 2, unsharedMax: 3, schedule: setImmediate })
    const few = subject.add('a', 'b', 'c')
    await turn()
    await subject.answer()
    const many = subject.add('d', 'e', 'f', 'g', 'h', 'i', 'j')
    await turn()
    await turn()
    assert.deepEqual(subject.sent, ['a b c', 'd e f g', 'h i j'])
    await subject.answer(2)
    await subject.answer(3)
    assert.equal((await Promise.all([...few, ...many])).length, 10)
  })

  test('refuses what comes when as much is queued as may be, and takes calls again when that is sent', async () => {
    const subject = new Subject({ queueMax: 2 })
    const results = subject.add('on its way', 'q1', 'q2')
    await assert.rejects(Promise.all(subject.add('q3')), { message: '2 calls are already queued for the store' })
    await subject.answer()
    results.push(...subject.add('q4'))
    await subject.answer()
    await subject.answer()
    assert.deepEqual(subject.sent, ['on its way', 'q1 q2', 'q4'])
    assert.equal((await Promise.all(results)).length, 4)
  })

  test('that gathers the calls of a turn sends them together at its end', async () => {
    const subject = new Subject({ schedule: setImmediate })
    const results = subject.add('b', 'a')
    assert.deepEqual(subject.sent, [])
    await turn()
    assert.deepEqual(subject.sent, ['a b'])
    await subject.answer()
    assert.deepEqual(await Promise.all(results), ['result b', 'result a'])
  })
})

describe('a batch that fails', () => {
  test('fails each of its calls with the same error', async () => {
    const subject = new Subject()
    const first = subject.add('first')
    const results = subject.add('a', 'b')
    await subject.answer()
    const all = settled(results)
    await subject.fail(new Error('away'))
    assert.deepEqual(await all, ['away', 'away'])
    assert.deepEqual(await Promise.all(first), ['result first'])
  })

  test('by throwing at once fails no differently', async () => {
    const send = (): never => {
      throw new Error('away')
    }
    const lane = new Lane<Item, string>(send, { batchMax: 1, inFlightMax: 1, queueMax: 10, schedule: (flush) => flush() })
    assert.deepEqual(await settled([lane.add({ id: 'a' }), lane.add({ id: 'b' })]), ['away', 'away'])
  })

  test('fails what is queued behind it as well, in a lane that fails together', async () => {
    const subject = new Subject({ failTogether: true })
    const results = settled(subject.add('a', 'b', 'c'))
    await subject.fail(new Error('away'))
    assert.deepEqual([await results, subject.sent], [['away', 'away', 'away'], ['a']])
    const next = subject.add('d')
    await subject.answer()
    assert.deepEqual(await Promise.all(next), ['result d'])
  })

  test('for the sake of its own data fails alone, in a lane that fails together as well', async () => {
    for (const error of [new StoreDataError('bad data'), new StoreFullError('no room')]) {
      const subject = new Subject({ failTogether: true })
      const results = subject.add('a', 'b', 'c')
      const all = settled(results)
      await subject.fail(error)
      assert.deepEqual(subject.sent, ['a', 'b c'])
      await subject.answer()
      assert.deepEqual(await all, [error.message, 'result b', 'result c'])
    }
  })

  test('with fewer results than calls fails those without one, and answers the others', async () => {
    const subject = new Subject()
    const results = subject.add('first', 'a', 'b', 'c')
    await subject.answer()
    const all = settled(results)
    subject.batches[1]?.reply.resolve(['only a'])
    const short = 'the store gave fewer results than it was asked for: it breaks its contract'
    assert.deepEqual(await all, ['result first', 'only a', short, short])
  })
})

describe('a batch in which one call’s data is refused', () => {
  for (const bad of ['a', 'd', 'g'])
    test(`is split until only that call fails: ${bad} of a to g`, async () => {
      const { lane, sent } = refusing([bad])
      const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
      const results = await settled(ids.map((id) => lane.add({ id })))
      assert.deepEqual(
        results,
        ids.map((id) => (id === bad ? `bad data in ${bad}` : `result ${id}`)),
      )
      assert.ok(sent.length <= 7, `${sent.length} calls`)
    })

  test('is split likewise when several are refused, or all', async () => {
    for (const bad of [
      ['a', 'b'],
      ['b', 'e'],
      ['a', 'c', 'e'],
      ['a', 'b', 'c', 'd', 'e'],
    ]) {
      const { lane } = refusing(bad)
      const ids = ['a', 'b', 'c', 'd', 'e']
      const results = await settled(ids.map((id) => lane.add({ id })))
      assert.deepEqual(
        results,
        ids.map((id) => (bad.includes(id) ? `bad data in ${id}` : `result ${id}`)),
      )
    }
  })

  test('for want of room is split as well: what there is room for is answered', async () => {
    let places = 2
    const send = async (items: readonly Item[]): Promise<readonly string[]> => {
      if (items.length > places) throw new StoreFullError('no room')
      places -= items.length
      return items.map(({ id }) => `result ${id}`)
    }
    const lane = new Lane(send, { batchMax: 100, inFlightMax: 1, queueMax: 100, schedule: setImmediate })
    const results = await settled(['a', 'b', 'c', 'd', 'e'].map((id) => lane.add({ id })))
    assert.deepEqual(results, ['result a', 'result b', 'no room', 'no room', 'no room'])
  })

  test('fails no call twice, and none that was answered', async () => {
    const { lane, sent } = refusing(['b'])
    await settled(['a', 'b', 'c', 'd'].map((id) => lane.add({ id })))
    assert.deepEqual(sent, ['a b c d', 'a b', 'a', 'b', 'c d'])
  })

  test('of which one half fails otherwise: that half’s calls are unknown, the other half is split on', async () => {
    const { lane } = refusing(['d'], (ids) => {
      if (ids.length < 4 && ids.includes('a')) throw new Error('away')
    })
    assert.deepEqual(await settled(['a', 'b', 'c', 'd'].map((id) => lane.add({ id }))), [
      'away',
      'away',
      'result c',
      'bad data in d',
    ])
  })

  test('keeps what comes meanwhile waiting until all its parts are answered', async () => {
    const subject = new Subject()
    const results = subject.add('first', 'a', 'b', 'c', 'd')
    await subject.answer()
    await subject.fail(new StoreDataError('bad data'))
    results.push(...subject.add('z'))
    await subject.answer()
    await subject.answer()
    assert.deepEqual(subject.sent, ['first', 'a b c d', 'a b', 'c d', 'z'])
    await subject.answer()
    assert.deepEqual(await settled(results), ['result first', 'result a', 'result b', 'result c', 'result d', 'result z'])
  })
})
