import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Ending, Outcome } from 'onceward'
import { assertNoUnhandledRejections, charge, inMemory } from './support.ts'

assertNoUnhandledRejections()

const request = { ...charge, fingerprint: 'f'.repeat(64) }
const never = async (): Promise<Ending> => assert.fail('it ran')

function outcome(text: string): Outcome {
  return { kept: true, meta: 'http 201', body: Buffer.from(text) }
}

describe('execute', () => {
  test('gives bytes and meta as they were, and tells its own outcome from a replay', async () => {
    const once = inMemory()
    const body = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const own = { kept: true, meta: 'http 201 é', body }
    const first = await once.execute(request, async () => ({ state: 'complete', outcome: own }))
    assert.deepEqual(first, { state: 'completed', outcome: own, replayed: false, settled: true })
    const second = await once.execute(request, never)
    assert.deepEqual(second, { state: 'completed', outcome: own, replayed: true, settled: true })
  })

  test('an answer that is not to be kept interrupts: its caller is told so, and the next call runs attempt 2', async () => {
    const once = inMemory()
    assert.deepEqual(await once.execute(request, async () => ({ state: 'interrupt' })), { state: 'interrupted' })
    const second = await once.execute(request, async ({ number }) => ({ state: 'complete', outcome: outcome(`${number}`) }))
    assert.equal(second.state === 'completed' && Buffer.from(second.outcome.body).toString(), '2')
  })

  test('an execution that did nothing is given back: it does not count as an attempt, and the operation is absent', async () => {
    const once = inMemory({ attemptsMax: 1, interrupted: 'hold' })
    assert.deepEqual(await once.execute(request, async () => ({ state: 'release' })), { state: 'interrupted' })
    assert.equal((await once.peek(request)).state, 'absent')
    const second = await once.execute(request, async ({ number }) => ({ state: 'complete', outcome: outcome(`${number}`) }))
    assert.equal(second.state === 'completed' && Buffer.from(second.outcome.body).toString(), '1')
  })

  test('compares the fingerprint that it is given', async () => {
    const once = inMemory()
    await once.execute(request, async () => ({ state: 'complete', outcome: outcome('first') }))
    assert.deepEqual(await once.execute({ ...request, fingerprint: 'e'.repeat(64) }, never), { state: 'mismatch' })
  })

  test('an outcome that says itself that it is not kept is handed to its own caller, and to nobody else', async () => {
    const once = inMemory()
    const own = { kept: false, meta: 'http 201 Location: /1', body: new Uint8Array(0) }
    const first = await once.execute(request, async () => ({ state: 'complete', outcome: own }))
    assert.deepEqual(first, { state: 'completed', outcome: own, replayed: false, settled: true })
    const second = await once.execute(request, never)
    assert.deepEqual(second, { state: 'completed', outcome: own, replayed: true, settled: true })
  })

  test('a follower is told that the outcome is not its own', async () => {
    const once = inMemory()
    const work = async (): Promise<Ending> => ({ state: 'complete', outcome: outcome('one') })
    const results = await Promise.all([once.execute(request, work), once.execute(request, never)])
    assert.deepEqual(
      results.map((result) => result.state === 'completed' && [result.replayed, result.settled]),
      [
        [false, true],
        [true, true],
      ],
    )
  })
})
