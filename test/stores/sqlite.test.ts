import assert from 'node:assert/strict'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Readable, Writable } from 'node:stream'
import * as fc from 'fast-check'
import { memory } from '../../src/stores/memory.ts'
import { sqlite, type SqliteDriver, type SqliteStatement } from '../../src/stores/sqlite.ts'
import type { RecordFilter, Store } from '../../src/core/store.ts'
import type { Claim, Settlement } from '../../src/core/transitions.ts'
import { assertFound } from '../../src/testing/store/assertions.ts'
import { connection, drivers, newFile, opened, tapped } from './sqlite-support.ts'
import { claimOf, completionOf, outcomeOf, statesOf } from './store-support.ts'

/** Another process on the file; killed at the end of the test, should it still be there. */
class Child {
  readonly lines: string[] = []
  readonly ended: Promise<void>
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  #heard: () => void = () => undefined

  constructor(t: TestContext, ...told: readonly string[]) {
    const program = fileURLToPath(new URL('sqlite-child.ts', import.meta.url))
    this.#process = spawn(process.execPath, [program, ...told], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.ended = once(this.#process, 'close').then(() => undefined)
    createInterface(this.#process.stdout).on('line', (line) => {
      this.lines.push(line)
      this.#heard()
    })
    t.after(() => this.kill())
  }

  /** Resolves when it has said so many lines. */
  async said(lines: number): Promise<void> {
    let hasEnded = false
    const ended = this.ended.then(() => (hasEnded = true))
    while (this.lines.length < lines && !hasEnded)
      await Promise.race([new Promise<void>((resolve) => (this.#heard = resolve)), ended])
    assert.ok(this.lines.length >= lines, 'the process ended before it had said so much')
  }

  go(): void {
    this.#process.stdin.write('go\n')
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }
}

type Command =
  | { readonly kind: 'claim'; readonly claims: readonly Claim[] }
  | { readonly kind: 'settle'; readonly settlements: readonly Settlement[] }
  | { readonly kind: 'list' | 'purge'; readonly filter: RecordFilter }
  | { readonly kind: 'sweep' }
  | { readonly kind: 'pass'; readonly ms: number }

const keyOf = fc.constantFrom('a', 'b')
const ownerOf = fc.constantFrom('owner 1', 'owner 2')
const leaseOf = fc.constantFrom(5, 20)
const ruleOf = fc.constantFrom('retry' as const, 'hold' as const)
const plain = { noNullPrototype: true } as const
const policyOf = fc.record(
  {
    ttlMs: fc.constantFrom(10, 30),
    rememberMs: fc.constantFrom(0, 15),
    interrupted: fc.record({ answered: ruleOf, thrown: ruleOf, lapsed: ruleOf }, plain),
    attemptsMax: fc.constantFrom(1, 2, 10),
  },
  plain,
)
const claimedOf: fc.Arbitrary<Claim> = fc
  .record({
    key: keyOf,
    fingerprint: fc.constantFrom('same', 'same', 'other'),
    owner: ownerOf,
    leaseMs: leaseOf,
    policy: policyOf,
  })
  .map(({ key, ...rest }) => claimOf(key, rest))
const fenceOf = fc.record({ id: keyOf.map((key) => claimOf(key).id), attempt: fc.integer({ min: 1, max: 3 }), owner: ownerOf })
const result = outcomeOf('result')
const settlementOf: fc.Arbitrary<Settlement> = fc.oneof(
  fenceOf.map((fence): Settlement => ({ ...fence, kind: 'complete', outcome: result })),
  fenceOf.map((fence): Settlement => ({ ...fence, kind: 'interrupt', cause: 'thrown' })),
  fc.tuple(fenceOf, leaseOf).map(([fence, leaseMs]): Settlement => ({ ...fence, kind: 'renew', leaseMs })),
  fc
    .tuple(fenceOf, leaseOf, fc.constantFrom('one', 'two'))
    .map(([fence, leaseMs, name]): Settlement => ({ ...fence, kind: 'step', leaseMs, step: { name, result } })),
  fenceOf.map(({ id, owner }): Settlement => ({ kind: 'release', id, owner })),
  fc
    .tuple(fenceOf, fc.constantFrom(null, result))
    .map(([{ id }, outcome]): Settlement => ({ kind: 'resolve', id, outcome, resolution: { actor: 'ops', reason: 'seen' } })),
)
const filterOf: fc.Arbitrary<RecordFilter> = fc.oneof(
  fc.constantFrom('running', 'interrupted', 'held', 'completed', 'expired').map((state): RecordFilter => ({ state })),
  fc.integer({ min: 0, max: 40 }).map((olderThanMs) => ({ olderThanMs })),
  keyOf.map((keyPrefix) => ({ keyPrefix })),
)
const commandOf: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('claim'), claims: fc.array(claimedOf, { minLength: 1, maxLength: 3 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('settle'), settlements: fc.array(settlementOf, { minLength: 1, maxLength: 3 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass'), ms: fc.integer({ min: 0, max: 21 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('list', 'purge'), filter: filterOf }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep') }) },
)

/** Every row of the table, as it lies in the file. */
function rowsOf(t: TestContext, file: string, driver: SqliteDriver, table: string): Record<string, unknown>[] {
  return connection(t, file, driver).prepare(`SELECT * FROM ${table}`).all() as Record<string, unknown>[]
}

/** What the store answers, and what it shows afterwards. */
async function answerOf(store: Store, command: Command): Promise<unknown> {
  const answer = await calledWith(store, command)
  return { answer, shown: await store.find([claimOf('a').id, claimOf('b').id]) }
}

async function calledWith(store: Store, command: Command): Promise<unknown> {
  switch (command.kind) {
    case 'claim':
      return store.claim(command.claims)
    case 'settle':
      return store.settle(command.settlements)
    case 'list':
      return store.list(command.filter, 10)
    case 'purge':
      return store.purge(command.filter, 10)
    case 'sweep':
      return store.sweep(10)
    case 'pass':
      return null
  }
}

for (const { name, driver } of drivers)
  describe(`records with ${name}`, () => {
    test('processes that open a new file at once share its tables, and each operation has one owner', async (t) => {
      const file = newFile(t)
      const children = ['a', 'b', 'c'].map((owner) => new Child(t, name, file, 'race', owner))
      await Promise.all(children.map(async (child) => child.said(1)))
      for (const child of children) child.go()
      await Promise.all(children.map(async ({ ended }) => ended))
      const claimed = children.flatMap(({ lines }) => lines.slice(1))
      assert.equal(claimed.length, 100)
      assert.equal(new Set(claimed).size, 100)
    })

    test('what was acknowledged before a process was killed is there afterwards', async (t) => {
      const file = newFile(t)
      for (const run of [1, 2]) {
        const child = new Child(t, name, file, 'work', `run${run}`)
        await child.said(1)
        child.go()
        await child.said(run * 40)
        child.kill()
        await child.ended
        const store = await opened(t, file, { driver })
        const said = child.lines.slice(1).map((line) => line.split(' '))
        const claimed = said.flatMap(([what, ...keys]) => (what === 'claimed' ? keys : []))
        const completed = new Set(said.flatMap(([what, ...keys]) => (what === 'completed' ? keys : [])))
        assert.ok(completed.size > 0)
        const views = await store.find(claimed.map((key) => claimOf(key).id))
        for (const [index, key] of claimed.entries()) {
          const record = views[index]?.record
          assert.equal(record?.owner, key.slice(0, key.lastIndexOf('-')))
          if (completed.has(key)) assert.deepEqual(record.outcome, outcomeOf(key.repeat(100)))
        }
        await store.close()
      }
    })

    test('two stores on one file in one process decide as one', async (t) => {
      const file = newFile(t)
      const stores = [await opened(t, file, { driver }), await opened(t, file, { driver })]
      const keys = Array.from({ length: 50 }, (_, index) => `k${index}`)
      const results = await Promise.all(
        stores.flatMap((store) => keys.map(async (key) => store.claim([claimOf(key)]).then(([found]) => ({ key, found })))),
      )
      const claimed = results.filter(({ found }) => found?.state === 'claimed').map(({ key }) => key)
      assert.deepEqual(claimed.toSorted(), keys.toSorted())
    })

    test('under a clock that is held still it decides to the millisecond as the memory store does', async (t) => {
      await fc.assert(
        fc.asyncProperty(fc.array(commandOf, { maxLength: 40, size: 'max' }), async (commands) => {
          let now = 1_700_000_000_000
          const held = t.mock.method(Date, 'now', () => now)
          const stores = [memory(), sqlite(':memory:', { driver })]
          await Promise.all(stores.map(async (store) => store.open()))
          for (const command of commands) {
            if (command.kind === 'pass') now += command.ms
            const [expected, actual] = await Promise.all(stores.map(async (store) => answerOf(store, command)))
            assert.deepEqual(actual, expected)
          }
          await Promise.all(stores.map(async (store) => store.close()))
          held.mock.restore()
        }),
        { numRuns: 100 },
      )
    })

    test('an attempt that outlasts its ttl is swept when its outcome expires, and not before', async (t) => {
      let offsetMs = 0
      const file = newFile(t)
      const store = await opened(t, file, { driver, clockOffsetMs: () => offsetMs })
      const claim = claimOf('a', { leaseMs: 1_000_000, policy: { ...claimOf('a').policy, ttlMs: 100_000 } })
      await store.claim([claim])
      offsetMs = 500_000
      assert.equal(await store.sweep(10), 0)
      await store.settle([completionOf(claim)])
      offsetMs = 590_000
      assert.equal(await store.sweep(10), 0)
      assert.deepEqual(await statesOf(store, [claim]), ['completed'])
      offsetMs = 700_000
      assert.equal(await store.sweep(10), 1)
      assert.deepEqual(rowsOf(t, file, driver, 'onceward'), [])
    })

    test('a held record is not swept, and is once it was resolved and its outcome expired', async (t) => {
      let offsetMs = 0
      const file = newFile(t)
      const store = await opened(t, file, { driver, clockOffsetMs: () => offsetMs })
      const claim = claimOf('a', { policy: { ...claimOf('a').policy, attemptsMax: 1 } })
      await store.claim([claim])
      offsetMs = 10 * claim.policy.ttlMs
      assert.equal(await store.sweep(10), 0)
      assert.equal(await store.sweep(10), 0)
      const resolution = { actor: 'ops', reason: 'it went through' }
      assert.deepEqual(await store.settle([{ kind: 'resolve', id: claim.id, outcome: outcomeOf('done'), resolution }]), ['ok'])
      offsetMs = 12 * claim.policy.ttlMs
      assert.equal(await store.sweep(10), 1)
      assert.deepEqual(rowsOf(t, file, driver, 'onceward'), [])
    })

    test('a tombstone keeps nothing of the outcome in the file, and goes when it is no longer remembered', async (t) => {
      let offsetMs = 0
      const file = newFile(t)
      const store = await opened(t, file, { driver, clockOffsetMs: () => offsetMs })
      const claim = claimOf('a', { policy: { ...claimOf('a').policy, ttlMs: 100_000, rememberMs: 100_000 } })
      await store.claim([claim])
      await store.settle([completionOf(claim, 'secret', 'secret')])
      offsetMs = 150_000
      assert.equal(await store.sweep(10), 1)
      const [row] = rowsOf(t, file, driver, 'onceward')
      assert.deepEqual([row?.['state'], row?.['kept'], row?.['meta'], row?.['body']], ['tombstone', null, null, null])
      offsetMs = 250_000
      assert.equal(await store.sweep(10), 1)
      assert.deepEqual(rowsOf(t, file, driver, 'onceward'), [])
    })

    test('steps go with their record: when it completes, expires, is purged, resolved as absent or claimed anew', async (t) => {
      let offsetMs = 0
      const file = newFile(t)
      const store = await opened(t, file, { driver, clockOffsetMs: () => offsetMs })
      const policy = { ...claimOf('a').policy, ttlMs: 100_000, attemptsMax: 1 }
      const claims = ['complete', 'purge', 'resolve', 'sweep', 'anew'].map((key) =>
        claimOf(key, key === 'resolve' ? { policy } : { policy: { ...policy, attemptsMax: 10 } }),
      )
      await store.claim(claims)
      const step = { name: 'charge', result: outcomeOf('ch_1') }
      await store.settle(claims.map(({ id, owner }) => ({ kind: 'step', id, attempt: 1, owner, step, leaseMs: 10_000 })))
      assert.equal(rowsOf(t, file, driver, 'onceward_steps').length, 5)
      const [complete, , resolve, , anew] = claims
      assert.ok(complete && resolve && anew)
      await store.settle([completionOf(complete)])
      assert.equal(rowsOf(t, file, driver, 'onceward_steps').length, 4)
      offsetMs = 50_000
      assert.equal(await store.purge({ keyPrefix: 'purge' }, 10), 1)
      assert.equal(rowsOf(t, file, driver, 'onceward_steps').length, 3)
      await store.settle([{ kind: 'resolve', id: resolve.id, outcome: null, resolution: { actor: 'ops', reason: 'it did not' } }])
      assert.equal(rowsOf(t, file, driver, 'onceward_steps').length, 2)
      offsetMs = 200_000
      assertFound((await store.claim([claimOf('anew')]))[0], { state: 'claimed', attempt: 1, steps: [] })
      assert.equal(rowsOf(t, file, driver, 'onceward_steps').length, 1)
      await store.sweep(10)
      assert.equal(rowsOf(t, file, driver, 'onceward_steps').length, 0)
    })

    test('a sweep, a purge and a listing of many records let the calls of others in between', async (t) => {
      let offsetMs = 0
      let commits = 0
      const before = (sql: string): void => void (commits += Number(sql === 'COMMIT'))
      const clockOffsetMs = (): number => offsetMs
      const store = await opened(t, newFile(t), { driver: tapped(driver, { before }), clockOffsetMs })
      await store.claim(Array.from({ length: 1_000 }, (_, index) => claimOf(`k${index}`, { leaseMs: 1 })))
      const late = async (): Promise<number> => {
        commits = 0
        await nextTurn()
        await store.claim([claimOf(`late${offsetMs}`)])
        return commits
      }
      offsetMs = 10_000
      assert.ok((await Promise.all([late(), store.list({}, 2_000)]))[0] <= 4)
      assert.ok((await Promise.all([late(), store.purge({ keyPrefix: 'k1' }, 2_000)]))[0] <= 4)
      offsetMs = 10 * 86_400_000
      const [commitsBefore, touched] = await Promise.all([late(), store.sweep(2_000)])
      assert.ok(commitsBefore <= 4)
      // Of the thousand, 111 begin with k1; `late` was claimed twice by the time the sweep came to it.
      assert.ok(touched >= 889)
    })

    test('a sweep touches no more than its limit, the oldest first', async (t) => {
      let offsetMs = 0
      const file = newFile(t)
      const store = await opened(t, file, { driver, clockOffsetMs: () => offsetMs })
      for (const key of ['a', 'b', 'c']) {
        const claim = claimOf(key)
        await store.claim([claim])
        await store.settle([completionOf(claim)])
        offsetMs += 1_000
      }
      offsetMs = 2 * 86_400_000
      assert.equal(await store.sweep(2), 2)
      assert.deepEqual(
        rowsOf(t, file, driver, 'onceward').map((row) => row['key']),
        ['c'],
      )
    })

    test('every statement finds its rows by an index, also once SQLite has gathered statistics', async (t) => {
      const file = newFile(t)
      const prepared = new Set<string>()
      class Listening extends driver {
        override prepare(sql: string): SqliteStatement {
          prepared.add(sql)
          return super.prepare(sql)
        }
      }
      const store = await opened(t, file, { driver: Listening })
      await store.claim(Array.from({ length: 200 }, (_, index) => claimOf(`k${index}`)))
      const other = connection(t, file, driver)
      for (const statistics of ['', 'ANALYZE']) {
        other.exec(statistics)
        for (const sql of prepared) {
          if (!/^\s*(?:SELECT|UPDATE|DELETE)[^;]*\bWHERE\b/.test(sql)) continue
          const values = Array.from(sql.matchAll(/\?/g), () => null)
          const plan = JSON.stringify(other.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values))
          assert.match(plan, /SEARCH onceward/, sql)
          assert.doesNotMatch(plan, /SCAN/, sql)
        }
      }
    })
  })
