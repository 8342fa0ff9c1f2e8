import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import { fuzz, type Fuzzed } from './fuzz.ts'
import { killAll } from '../child.ts'

after(killAll)

/** `ONCEWARD_SEED=7` replays that seed; `npm run fuzz -- COUNT SEED` says more. A new one each time, and a failure names it. */
const seed = Number(process.env['ONCEWARD_SEED'] ?? Math.floor(Math.random() * 1_000_000))

/** More than the answers and records of these conversations take; a server that kept every request would go beyond. */
const memoryMaxMiB = 640

function assertSound({ violations, counts, memoryMax }: Fuzzed): void {
  assert.deepEqual(
    violations.slice(0, 20),
    [],
    `ONCEWARD_SEED=${seed} npm test -- test/http/fuzz/fuzz.test.ts sends the same again`,
  )
  assert.ok(memoryMax < memoryMaxMiB, `${memoryMax} MiB`)
  for (const status of [200, 201, 204, 400, 409, 422, 425, 431, 500]) assert.ok((counts[status] ?? 0) > 0, `${status} was seen`)
}

suite('20,000 conversations of any bytes, in any order, whole, slow and broken off', { concurrency: 2 }, () => {
  for (const framework of ['node', 'express'])
    test(`${framework}: leave no effect unaccounted for, no request without an answer, and a server that still works`, async () => {
      assertSound(await fuzz({ seed, conversations: 10_000, args: ['--framework', framework] }))
    })
})

test('the conversations find a server that protects nothing, and one that forgets', async () => {
  const unprotected = await fuzz({ seed, conversations: 3_000, args: ['--optional-key', '--methods', 'LINK'] })
  assert.match(unprotected.violations.join('\n'), /no valid key|had \d+ effects|was answered with 20/)
  const forgetful = await fuzz({ seed, conversations: 3_000, args: ['--ttl-ms', '1'] })
  assert.match(forgetful.violations.join('\n'), /had \d+ effects|outcomes|for the first time/)
})
