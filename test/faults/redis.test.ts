import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { onceward, OncewardError, type Once } from 'onceward'
import { freePort } from '../../scripts/servers/server.ts'
import { redisMissing, startCluster, startRedis, startSentinel, until } from '../../scripts/servers/redis.ts'
import { redis } from '../../src/stores/redis.ts'
import { assertNoUnhandledRejections } from '../engine/support.ts'
import {
  clientFor,
  clients,
  ioredisCluster,
  ioredisThrough,
  keyOf,
  nodeRedisCluster,
  serverFor,
  storeFor,
  type Opened,
} from '../stores/redis-support.ts'
import { claimOf, completionOf } from '../stores/store-support.ts'
import { Proxy, type Direction } from './proxy.ts'

assertNoUnhandledRejections()

const durable = ['--appendonly', 'yes', '--appendfsync', 'always']

/** A proxy before a server, closed after the test. */
async function proxyTo(t: TestContext, port: number): Promise<{ readonly proxy: Proxy; readonly port: number }> {
  const proxy = await Proxy.before(port)
  t.after(async () => proxy.close())
  return { proxy, port: proxy.port }
}

/** Callers that run operations one after the other until they are told to stop, and what became of each operation. */
class Load {
  /** What each key's caller was given. */
  readonly answered = new Map<string, string>()
  /** How often each key's handler ran. */
  readonly runs = new Map<string, number>()
  #isOver = false
  #done: Promise<unknown> = Promise.resolve()

  start(once: Once, callers: number): void {
    this.#done = Promise.all(Array.from({ length: callers }, async (_, caller) => this.#call(once, caller)))
  }

  /** Resolves when every caller has its last answer. */
  async end(): Promise<void> {
    this.#isOver = true
    await this.#done
  }

  async #call(once: Once, caller: number): Promise<void> {
    for (let number = 0; !this.#isOver; number += 1) {
      const key = `${caller}-${number}`
      // Until it is answered: a caller does not know whether it was heard.
      for (let isAnswered = false; !isAnswered;) isAnswered = await this.#ask(once, key)
    }
  }

  async #ask(once: Once, key: string): Promise<boolean> {
    try {
      const value = await once.run({ scope: 'acme', name: 'charge', key }, () => {
        this.runs.set(key, (this.runs.get(key) ?? 0) + 1)
        return `effect of ${key}`
      })
      this.answered.set(key, value)
      return true
    } catch {
      await pause(20)
      return false
    }
  }
}

/** That what was answered is what a later caller is told, without a run. */
async function assertKept(once: Once, { answered }: Load): Promise<void> {
  for (const [key, value] of answered) {
    const found = await once.run({ scope: 'acme', name: 'charge', key }, () => assert.fail(`${key} was acknowledged and is lost`))
    assert.equal(found, value)
  }
}

describe('faults of Redis', { skip: redisMissing ?? false }, () => {
  for (const { name, on } of clients)
    test(`${name}: of what was acknowledged nothing is lost when a Redis with appendfsync always is killed, again and again`, async (t) => {
      const server = await serverFor(t, { args: durable })
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      assert.equal(store.guarantee.tier, 'fenced')
      const once = onceward({ store, storeTimeout: 500 })
      const load = new Load()
      load.start(once, 16)
      for (let kills = 0; kills < 4; kills += 1) {
        const before = load.answered.size
        await until(() => load.answered.size > before + 50, 'work is done')
        await server.restart()
      }
      const before = load.answered.size
      await until(() => load.answered.size > before + 50, 'work is done again')
      await load.end()
      await assertKept(once, load)
      assert.deepEqual(new Set(load.runs.values()), new Set([1]), 'nobody took an attempt over, so none ran twice')
      await once.close()
    })

  for (const { name, on } of clients)
    test(`${name}: whichever message is lost on the way to Redis or back, the handler runs once and its outcome is kept`, async (t) => {
      const server = await serverFor(t)
      const { proxy, port } = await proxyTo(t, server.port)
      const once = onceward({
        store: await storeFor(t, server, { client: await clientFor(t, on({ port })) }),
        storeTimeout: 1_000,
      })
      let cuts = 0
      for (const direction of ['up', 'down'] satisfies Direction[])
        for (let chunk = 1, isPast = false; !isPast; chunk += 1) {
          const operation = { scope: 'acme', name: 'charge', key: `${direction} ${chunk}` }
          let runs = 0
          const run = async (): Promise<string> => once.run(operation, () => `run ${(runs += 1)}`)
          proxy.cutAt(direction, chunk)
          await until(
            async () =>
              run().then(
                (value) => value === 'run 1',
                () => false,
              ),
            'it is answered',
          )
          isPast = proxy.disarm()
          if (!isPast) cuts += 1
          await until(
            async () =>
              run().then(
                (value) => value === 'run 1',
                () => false,
              ),
            'it is replayed',
          )
          assert.equal(runs, 1, `${direction}, message ${chunk}`)
        }
      assert.ok(cuts >= 4, `the claim and the completion were cut, there and back: ${cuts}`)
      await once.close()
    })

  test('a Redis that stands still longer than the lease: the attempt is told of the doubt, and all callers are given one outcome', async (t) => {
    const server = await serverFor(t)
    const options = { lease: 400, storeTimeout: 5_000 } as const
    const late = onceward({ store: await storeFor(t, server), ...options })
    const other = onceward({ store: await storeFor(t, server), ...options })
    for (let round = 0; round < 5; round += 1) {
      const operation = { scope: 'acme', name: 'charge', key: `k${round}` }
      const started = Promise.withResolvers<AbortSignal>()
      const go = Promise.withResolvers<string>()
      const first = late.run(operation, async ({ signal }) => {
        started.resolve(signal)
        return go.promise
      })
      const signal = await started.promise
      server.process.pause()
      // Whether its renewal or the other's claim is heard first when the server goes on, is open.
      const second = other.run(operation, ({ number }) => `attempt ${number}`)
      await until(() => signal.aborted, 'the attempt is told that its lease is in doubt')
      await pause(200)
      server.process.resume()
      await pause(50)
      go.resolve('attempt 1')
      const [one, two] = await Promise.all([first, second])
      assert.equal(one, two)
      assert.equal(await other.run(operation, () => assert.fail('it ran')), one)
    }
    await Promise.all([late.close(), other.close()])
  })

  test('a failover that loses an unreplicated claim makes two owners of one operation, and of the outcomes the later is kept', async (t) => {
    const master = await serverFor(t, { args: durable })
    const { proxy: replication, port } = await proxyTo(t, master.port)
    const replica = await serverFor(t, { args: ['--replicaof', '127.0.0.1', String(port)] })
    await until(
      async () => (await replica.command('INFO', 'replication')).includes('master_link_status:up'),
      'the replica follows',
    )
    const front = await proxyTo(t, master.port)
    const store = await storeFor(t, { port: front.port })
    assert.equal(store.guarantee.tier, 'best-effort')
    const [known, first, second] = [claimOf('known'), claimOf('k'), claimOf('k')]
    await store.claim([known])
    await store.settle([completionOf(known)])
    const isThere = async (): Promise<boolean> => (await replica.command('HGET', keyOf(known), 'record')).includes('completed')
    await until(isThere, 'what was completed before is on the replica')
    replication.hold()
    const owners = [...(await store.claim([first]))]
    await master.process.kill()
    await replica.command('REPLICAOF', 'NO', 'ONE')
    front.proxy.retarget(replica.port)
    await until(
      async () =>
        store.claim([second]).then(
          (found) => owners.push(...found) > 0,
          () => false,
        ),
      'the replica is the master',
    )
    // This is what best-effort means: two claims of one operation are told to run it, as attempt 1 both.
    assert.deepEqual(
      owners.map((found) => (found.state === 'claimed' ? found.attempt : found.state)),
      [1, 1],
    )
    assert.deepEqual(await store.settle([completionOf(first, 'first')]), ['stale'])
    assert.deepEqual(await store.settle([completionOf(second, 'second')]), ['ok'])
    assert.equal((await store.claim([known]))[0]?.state, 'completed')
  })

  test('callers go on after a failover by Sentinel without a restart', async (t) => {
    const group = await startSentinel()
    // Before its servers go: a client that looks for sentinels which are gone does not end.
    const client = await clientFor(t, ioredisThrough(group.name, group.sentinels))
    t.after(async () => group.stop())
    const store = redis(client)
    const once = onceward({ store, storeTimeout: 1_000 })
    const run = async (key: string): Promise<boolean> =>
      once
        .run({ scope: 'acme', name: 'charge', key }, () => key)
        .then(
          (value) => value === key,
          () => false,
        )
    assert.ok(await run('before'))
    const old = await group.master()
    await old.process.kill()
    await until(async () => run('during'), 'the new master answers', 60_000)
    await until(async () => (await group.master()).port !== old.port, 'every sentinel knows the new master', 60_000)
    assert.ok(await run('after'))
    assert.equal(await once.run({ scope: 'acme', name: 'charge', key: 'after' }, () => assert.fail('it ran')), 'after')
    await once.close()
  })

  test('callers go on after a failover in which the old master lives on as a replica', async (t) => {
    const group = await startSentinel()
    const client = await clientFor(t, ioredisThrough(group.name, group.sentinels))
    t.after(async () => group.stop())
    const once = onceward({ store: redis(client), storeTimeout: 1_000 })
    const load = new Load()
    load.start(once, 8)
    await until(() => load.answered.size > 50, 'work is done')
    const old = await group.master()
    await group.failOver()
    await until(async () => (await group.master()).port !== old.port, 'the replica is the master', 60_000)
    const before = load.answered.size
    await until(() => load.answered.size > before + 50, 'work is done again', 60_000)
    await load.end()
    // What the new master did not have is lost, and may have run again: best-effort. From then on nothing is.
    const operation = { scope: 'acme', name: 'charge', key: 'after' }
    assert.equal(await once.run(operation, () => 'done'), 'done')
    assert.equal(await once.run(operation, () => assert.fail('it ran again')), 'done')
    await once.close()
  })

  for (const { name, on } of clients)
    test(`${name}: that a server is a replica by now (READONLY) counts as not answered, and nothing of the call is applied`, async (t) => {
      const server = await serverFor(t)
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      const once = onceward({ store, storeTimeout: 300 })
      const [claim, other] = [claimOf('k'), claimOf('other')]
      await store.claim([claim])
      // Of a master that is not there, so that it keeps its own keys.
      await server.command('REPLICAOF', '127.0.0.1', String(await freePort()))
      const isUnknown = (error: Error): boolean => /READONLY/.test(error.message) && !(error instanceof OncewardError)
      await assert.rejects(store.claim([other]), isUnknown)
      await assert.rejects(store.settle([completionOf(claim)]), isUnknown)
      const operation = { scope: 'acme', name: 'charge', key: 'mine' }
      await assert.rejects(
        once.run(operation, () => assert.fail('it ran')),
        { code: 'store_unavailable' },
      )
      await server.command('REPLICAOF', 'NO', 'ONE')
      assert.deepEqual(await store.settle([completionOf(claim)]), ['ok'])
      assert.equal((await store.claim([other]))[0]?.state, 'claimed')
      assert.equal(await once.run(operation, () => 'done'), 'done')
      await once.close()
    })

  for (const [name, on] of [
    ['ioredis', async (nodes) => ioredisCluster(nodes)],
    ['node-redis', nodeRedisCluster],
  ] satisfies [string, (nodes: readonly { host: string; port: number }[]) => Promise<Opened>][])
    test(`${name}: slots that move during load cost no lease and no outcome`, async (t) => {
      const cluster = await startCluster()
      t.after(async () => cluster.stop())
      const store = redis(await clientFor(t, on(cluster.nodes)))
      await store.open()
      t.after(async () => store.close())
      const claims = Array.from({ length: 60 }, (_, index) => claimOf(`k${index}`))
      await store.claim(claims)
      let [isOver, rounds] = [false, 0]
      const renewing = (async () => {
        for (; !isOver; rounds += 1) {
          const renewed = await store.settle(claims.map((claim) => ({ kind: 'renew', ...claim, attempt: 1 })))
          assert.deepEqual(new Set(renewed), new Set(['ok']))
        }
      })()
      const moved = await moveSlots(
        cluster.servers,
        claims.map(({ id }) => `onceward:{${id}}`),
      )
      isOver = true
      await renewing
      assert.ok(moved > 5 && rounds > 2, `${moved} slots moved in ${rounds} rounds`)
      const errors = (await Promise.all(cluster.servers.map(async (each) => each.command('INFO', 'errorstats')))).join('')
      assert.match(errors, /errorstat_MOVED/)
      assert.match(errors, /errorstat_ASK/)
      assert.deepEqual(new Set(await store.settle(claims.map((claim) => completionOf(claim)))), new Set(['ok']))
      const found = await store.list({ state: 'completed' }, 100)
      assert.equal(found.records.length, claims.length)
    })
})

/** Moves the slots of these keys from the first node to the second, key by key as an operator's tool does; how many they were. */
async function moveSlots(servers: readonly Awaited<ReturnType<typeof startRedis>>[], keys: readonly string[]): Promise<number> {
  const [from, to] = servers
  assert.ok(from && to)
  const idOf = async (server: typeof from): Promise<string> =>
    /[0-9a-f]{40}/.exec(await server.command('CLUSTER', 'MYID'))?.[0] ?? ''
  const [fromId, toId] = [await idOf(from), await idOf(to)]
  let moved = 0
  for (const key of keys) {
    const slot = (await from.command('CLUSTER', 'KEYSLOT', key)).slice(1).trim()
    if (Number(slot) >= 5461) continue
    await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId)
    await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId)
    await pause(5)
    const answer = await from.command('MIGRATE', '127.0.0.1', String(to.port), key, '0', '5000')
    assert.match(answer, /OK|NOKEY/)
    await pause(5)
    for (const server of [to, from]) await server.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
    moved += 1
  }
  return moved
}
