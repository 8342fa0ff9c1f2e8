import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { onceward, OncewardError, type Once } from 'onceward'
import { redisMissing, until, type RedisServer } from '../../scripts/servers/redis.ts'
import { assertFound } from '../../src/testing/store/assertions.ts'
import type { Claim, Settlement } from '../../src/core/transitions.ts'
import type { Store } from '../../src/core/store.ts'
import { assertNoUnhandledRejections } from '../engine/support.ts'
import { callsOf, clientFor, clients, keyOf, serverFor, storeFor } from './redis-support.ts'
import { claimOf, completionOf } from './store-support.ts'

assertNoUnhandledRejections()

const hourMs = 3_600_000
const policy = claimOf('').policy

/** How long the record's key has still to live by Redis itself; -1 for ever, -2 when it is gone. Milliseconds. */
async function livesMs(server: RedisServer, claim: Claim): Promise<number> {
  return Number((await server.command('PTTL', keyOf(claim))).slice(1))
}

/** That a length of time is the one expected, but for what has passed since. */
function assertAbout(actualMs: number, expectedMs: number): void {
  assert.ok(actualMs <= expectedMs && actualMs > expectedMs - 60_000, `${actualMs} ms is not about ${expectedMs} ms`)
}

async function stateOf(store: Store, { id }: Claim): Promise<string | undefined> {
  return (await store.find([id]))[0]?.state
}

/** Runs one process of `redis-child.ts` and gives what it said, a line each. */
async function child(...told: readonly string[]): Promise<readonly string[]> {
  const program = fileURLToPath(new URL('redis-child.ts', import.meta.url))
  const running = spawn(process.execPath, [program, ...told], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  for await (const chunk of running.stdout) said += String(chunk)
  return said.trim().split('\n')
}

describe('records in Redis', { skip: redisMissing ?? false }, () => {
  test('a record in Redis expires by itself when the table says so, however the clock was moved', async (t) => {
    const server = await serverFor(t)
    for (const offsetMs of [0, 100 * hourMs]) {
      await server.command('FLUSHALL')
      const store = await storeFor(t, server, { clockOffsetMs: () => offsetMs })
      const claim = claimOf('k', { leaseMs: hourMs, policy: { ...policy, ttlMs: 24 * hourMs, rememberMs: 48 * hourMs } })
      await store.claim([claim])
      assertAbout(await livesMs(server, claim), 25 * hourMs)
      await store.settle([{ kind: 'renew', ...claim, attempt: 1, leaseMs: 2 * hourMs }])
      assertAbout(await livesMs(server, claim), 26 * hourMs)
      await store.settle([completionOf(claim)])
      assertAbout(await livesMs(server, claim), 72 * hourMs)
      const interrupted = claimOf('interrupted', { policy: { ...policy, ttlMs: 24 * hourMs } })
      await store.claim([interrupted])
      await store.settle([{ kind: 'interrupt', ...interrupted, attempt: 1, cause: 'thrown' }])
      assertAbout(await livesMs(server, interrupted), 24 * hourMs)
    }
  })

  test('a held record in Redis has no expiry, nor has one that would be held when it lapsed, until it is resolved', async (t) => {
    const server = await serverFor(t)
    const store = await storeFor(t, server)
    const claim = claimOf('k', { policy: { ...policy, attemptsMax: 1, ttlMs: hourMs } })
    await store.claim([claim])
    assert.equal(await livesMs(server, claim), -1)
    await store.settle([{ kind: 'interrupt', ...claim, attempt: 1, cause: 'thrown' }])
    assert.equal(await livesMs(server, claim), -1)
    const outcome = { kept: true, meta: 'text', body: new Uint8Array(1) }
    await store.settle([{ kind: 'resolve', id: claim.id, outcome, resolution: { actor: 'ann', reason: 'looked' } }])
    assertAbout(await livesMs(server, claim), hourMs)
  })

  test('Redis removes a completed record by itself, without a sweep', async (t) => {
    const server = await serverFor(t)
    const store = await storeFor(t, server)
    const claim = claimOf('k', { policy: { ...policy, ttlMs: 100 } })
    await store.claim([claim])
    await store.settle([completionOf(claim)])
    await until(async () => (await server.command('EXISTS', keyOf(claim))) === ':0\r\n', 'the key is gone')
    assert.equal((await store.claim([claimOf('k')]))[0]?.state, 'claimed')
  })

  test('a batch is one command to a single Redis, and what is released leaves no key', async (t) => {
    const server = await serverFor(t)
    const store = await storeFor(t, server)
    const claims = Array.from({ length: 100 }, (_, index) => claimOf(`k${index}`))
    const before = await callsOf(server, 'evalsha')
    await store.claim(claims)
    await store.settle(claims.map(({ id, owner }) => ({ kind: 'release', id, owner })))
    // The first finds no script there, and is sent again with it.
    assert.ok((await callsOf(server, 'evalsha')) - before <= 2)
    assert.ok((await callsOf(server, 'eval')) <= 2)
    assert.equal(await server.command('DBSIZE'), ':1\r\n')
  })

  test('a Redis that forgot the script is sent it again', async (t) => {
    const server = await serverFor(t)
    for (const { name, on } of clients) {
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      const claim = claimOf(name)
      await store.claim([claim])
      await server.command('SCRIPT', 'FLUSH')
      assert.deepEqual(await store.settle([completionOf(claim)]), ['ok'])
    }
  })

  test('only the end of an operation that somebody found busy is published', async (t) => {
    const server = await serverFor(t)
    const store = await storeFor(t, server)
    const claims = ['a', 'b'].map((key) => claimOf(key))
    await store.claim(claims)
    await store.claim([claimOf('a')])
    await store.settle(claims.map((claim) => completionOf(claim)))
    assert.equal(await callsOf(server, 'publish'), 1)
  })

  test('who watches is told again after the connection that listens was cut', async (t) => {
    const server = await serverFor(t)
    for (const { name, on } of clients) {
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      const claim = claimOf(name)
      await store.claim([claim])
      assert.equal((await store.claim([claimOf(name)]))[0]?.state, 'busy')
      const first = store.watch?.([claim.id], AbortSignal.timeout(20_000))
      await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
      // It cannot know what it missed: it says so.
      await first
      const second = store.watch?.([claim.id], AbortSignal.timeout(20_000))
      await store.settle([completionOf(claim)])
      await second
    }
  })

  test('a user who may not publish or subscribe settles all the same, and who waits polls', async (t) => {
    const server = await serverFor(t)
    await server.command('ACL', 'SETUSER', 'bob', 'on', '>secret', '~onceward:*', 'resetchannels', '+@all')
    const bob = { port: server.port, username: 'bob', password: 'secret' }
    for (const { name, on } of clients) {
      const first = onceward({ store: await storeFor(t, server, { client: await clientFor(t, on(bob)) }) })
      const second = onceward({ store: await storeFor(t, server, { client: await clientFor(t, on(bob)) }) })
      const charge = { scope: 'acme', name, key: 'k' }
      const slow = async (): Promise<string> => pause(200, 'done')
      assert.deepEqual(await Promise.all([first.run(charge, slow), second.run(charge, slow)]), ['done', 'done'])
      await Promise.all([first.close(), second.close()])
    }
  })

  test('a full Redis refuses new operations as full, replays others, and works again when there is room', async (t) => {
    const server = await serverFor(t)
    const store = await storeFor(t, server)
    const known = claimOf('known')
    await store.claim([known])
    await store.settle([completionOf(known)])
    await server.command('CONFIG', 'SET', 'maxmemory', '1')
    await assert.rejects(store.claim([known, claimOf('new')]), { name: 'StoreFullError', message: /nothing was claimed/ })
    assert.equal((await store.claim([known]))[0]?.state, 'completed')
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    assert.equal((await store.claim([claimOf('new')]))[0]?.state, 'claimed')
  })

  test('a settlement that a full Redis refuses is unknown, not refused, and is accepted when there is room', async (t) => {
    const server = await serverFor(t)
    for (const { name, on } of clients) {
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      const claims = ['renewed', 'completed', 'interrupted'].map((key) => claimOf(`${name} ${key}`))
      const [renewed, completed, interrupted] = claims
      assert.ok(renewed && completed && interrupted)
      await store.claim(claims)
      await server.command('CONFIG', 'SET', 'maxmemory', '1')
      const settlements: readonly Settlement[] = [
        { kind: 'renew', ...renewed, attempt: 1 },
        completionOf(completed),
        { kind: 'interrupt', ...interrupted, attempt: 1, cause: 'thrown' },
      ]
      for (const batch of [settlements, ...settlements.map((each) => [each])])
        await assert.rejects(store.settle(batch), (error: Error) => {
          assert.match(error.message, /OOM/)
          return !(error instanceof OncewardError)
        })
      assert.deepEqual(new Set((await store.find(claims.map(({ id }) => id))).map((view) => view?.state)), new Set(['running']))
      await server.command('CONFIG', 'SET', 'maxmemory', '0')
      assert.deepEqual(new Set(await store.settle(settlements)), new Set(['ok']))
    }
  })

  test('an outcome that a full Redis refuses is recorded when there is room again, and its handler does not run twice', async (t) => {
    const server = await serverFor(t)
    const once = onceward({ store: await storeFor(t, server), lease: '60s' })
    const operation = { scope: 'acme', name: 'charge', key: 'k' }
    let runs = 0
    const answer = once.run(operation, async () => {
      runs += 1
      await server.command('CONFIG', 'SET', 'maxmemory', '1')
      return 'done'
    })
    await until(async () => (await server.command('INFO', 'errorstats')).includes('errorstat_OOM'), 'the completion is refused')
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    assert.equal(await answer, 'done')
    assert.equal(await once.run(operation, () => assert.fail('it ran again')), 'done')
    assert.equal(runs, 1)
    await once.close()
  })

  test('a listing of more records than are sorted at once has each of them once, in order', async (t) => {
    const server = await serverFor(t)
    const store = await storeFor(t, server)
    const records = 20_500
    const ids: string[] = []
    for (let from = 0; from < records; from += 500) {
      const claims = Array.from({ length: 500 }, (_, index) => claimOf(`k${from + index}`))
      ids.push(...claims.map(({ id }) => id))
      await store.claim(claims)
    }
    const listed: string[] = []
    let after: string | undefined
    do {
      const page = await store.list({}, 4_000, after)
      listed.push(...page.records.map(({ record }) => record.id))
      after = page.next ?? undefined
    } while (after !== undefined)
    assert.deepEqual(listed, ids.toSorted())
  })

  test('stores with different prefixes on one Redis do not see each other', async (t) => {
    const server = await serverFor(t)
    const [one, other] = [await storeFor(t, server), await storeFor(t, server, { prefix: 'other' })]
    await one.claim([claimOf('k')])
    assert.equal((await other.claim([claimOf('k')]))[0]?.state, 'claimed')
    assert.equal((await one.list({}, 10)).records.length, 1)
    assert.equal(await other.purge({}, 10), 0)
  })

  for (const { name } of clients)
    test(`${name}: a hundred callers in two processes run the handler once`, async (t) => {
      const server = await serverFor(t)
      const [one, other] = await Promise.all([child(name, String(server.port)), child(name, String(server.port))])
      assert.deepEqual([one.length, other.length], [50, 50])
      assert.deepEqual(new Set([...one, ...other]), new Set(['effect 1']))
    })
})

/** A call whose store does not answer is told so within a bound. */
async function isUnavailable(once: Once, key: string): Promise<void> {
  const began = performance.now()
  await assert.rejects(
    once.run({ scope: 'acme', name: 'charge', key }, () => assert.fail('it ran')),
    { code: 'store_unavailable' },
  )
  assert.ok(performance.now() - began < 30_000, 'it does not hang')
}

describe('a Redis that goes away', { skip: redisMissing ?? false }, () => {
  for (const { name, on } of clients) {
    test(`${name}: while the server stands still or is down callers are refused in time, and it goes on by itself`, async (t) => {
      const server = await serverFor(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      const once = onceward({ store, storeTimeout: 300 })
      const run = async (key: string): Promise<string> => once.run({ scope: 'acme', name: 'charge', key }, () => `done ${key}`)
      assert.equal(await run('before'), 'done before')
      server.process.pause()
      await Promise.all([isUnavailable(once, 'a'), isUnavailable(once, 'b')])
      server.process.resume()
      await until(
        async () =>
          run('c').then(
            (value) => value === 'done c',
            () => false,
          ),
        'it works again',
      )
      await server.process.kill()
      await isUnavailable(once, 'd')
      await server.process.start()
      await until(
        async () =>
          run('e').then(
            (value) => value === 'done e',
            () => false,
          ),
        'it works again',
      )
      assert.deepEqual([await run('before'), await run('a')], ['done before', 'done a'])
      await once.close()
    })

    test(`${name}: close ends although the server does not answer any more`, async (t) => {
      const server = await serverFor(t)
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      server.process.pause()
      const claimed = store.claim([claimOf('k')])
      claimed.catch(() => undefined)
      await store.close()
      server.process.resume()
    })
  }

  test('an operation whose attempt lapsed while the server was down is taken over after it', async (t) => {
    const server = await serverFor(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    const store = await storeFor(t, server)
    const claim = claimOf('k', { leaseMs: 50 })
    await store.claim([claim])
    await server.restart()
    await until(
      async () =>
        stateOf(store, claim).then(
          (state) => state === 'interrupted',
          () => false,
        ),
      'it has lapsed',
    )
    assertFound((await store.claim([claimOf('k')]))[0], { state: 'claimed', attempt: 2, steps: [] })
    assert.deepEqual(await store.settle([completionOf(claim)]), ['stale'])
  })
})
