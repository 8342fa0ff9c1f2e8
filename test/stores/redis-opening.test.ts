import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { createClient, createClientPool, createSentinel } from 'redis'
import { freePort } from '../../scripts/servers/server.ts'
import { redisMissing, startRedis, until } from '../../scripts/servers/redis.ts'
import { redis, type RedisClient } from '../../src/stores/redis.ts'
import type { Store } from '../../src/core/store.ts'
import { clientFor, clients, ioredisOn, keyOf, serverFor, storeFor, type Opened } from './redis-support.ts'
import { claimOf } from './store-support.ts'

const openError =
  (...patterns: readonly RegExp[]) =>
  (error: Error) => {
    assert.equal(error.name, 'StoreOpenError')
    for (const pattern of patterns) assert.match(error.message, pattern)
    return true
  }

async function refused(t: TestContext, opened: Opened | Promise<Opened>, ...patterns: readonly RegExp[]): Promise<void> {
  const store = redis(await clientFor(t, opened), { openTimeout: '1s' })
  await assert.rejects(store.open(), openError(...patterns))
  await store.close()
}

async function guaranteeWith(t: TestContext, args: readonly string[]): Promise<Store['guarantee']> {
  return (await storeFor(t, await serverFor(t, { args }))).guarantee
}

const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction']

test('anything but the clients that are known is refused with OptionsError', () => {
  const unknown: readonly unknown[] = [
    null,
    undefined,
    'redis://127.0.0.1',
    {},
    new Map(),
    createClientPool({}),
    createSentinel({ name: 'm', sentinelRootNodes: [] }),
  ]
  for (const client of unknown)
    assert.throws(() => redis(client as RedisClient), { name: 'OptionsError', code: 'options_invalid' })
  const prefixed = new Redis({ lazyConnect: true, keyPrefix: 'app:' })
  assert.throws(() => redis(prefixed), /keyPrefix.*option prefix/)
  const client = new Redis({ lazyConnect: true })
  for (const prefix of ['', 'a b', '{a}', 'a*', 'x'.repeat(41)])
    assert.throws(() => redis(client, { prefix }), { name: 'OptionsError' })
  assert.throws(() => redis(client, { openTimeout: 0 }), { name: 'OptionsError' })
})

describe('a Redis that cannot be opened', { skip: redisMissing ?? false }, () => {
  for (const { name, on } of clients) {
    test(`${name}: a user without a command that is needed is told which, and what to grant`, async (t) => {
      const server = await serverFor(t)
      await server.command('ACL', 'SETUSER', 'bob', 'on', '>secret', '~onceward:*', '&*', '+@all', '-hset')
      const bob = { port: server.port, username: 'bob', password: 'secret' }
      await refused(t, on(bob), /hset/i, /ACL SETUSER/)
      await server.command('ACL', 'SETUSER', 'bob', '+hset', '-scan')
      await refused(t, on(bob), /scan/i, /ACL SETUSER/)
      await server.command('ACL', 'SETUSER', 'bob', '+scan', 'resetkeys', '~other:*')
      await refused(t, on(bob), /permission/, /ACL SETUSER/)
    })

    test(`${name}: a prefix in use by something else is told as such`, async (t) => {
      const server = await serverFor(t)
      await server.command('SET', 'onceward:{schema}', 'theirs')
      await refused(t, on(server), /WRONGTYPE/, /another prefix/)
      await server.command('DEL', 'onceward:{schema}')
      await server.command('HSET', 'onceward:{schema}', 'version', 'blue')
      await refused(t, on(server), /not Onceward's: give another prefix/)
    })

    test(`${name}: keys of a newer version are told as such, and those it may read are read`, async (t) => {
      const server = await serverFor(t)
      await server.command('HSET', 'onceward:{schema}', 'version', '3', 'readable_by', '2')
      await refused(t, on(server), /newer version of Onceward \(schema 3/, /upgrade/)
      await server.command('HSET', 'onceward:{schema}', 'readable_by', '1')
      const store = await storeFor(t, server, { client: await clientFor(t, on(server)) })
      assert.equal((await store.claim([claimOf('k')]))[0]?.state, 'claimed')
    })

    test(`${name}: a replica is told as such`, async (t) => {
      const master = await serverFor(t)
      const replica = await serverFor(t, { args: ['--replicaof', '127.0.0.1', String(master.port)] })
      await refused(t, on(replica), /READONLY|LOADING|MASTERDOWN/, /master/)
    })

    test(`${name}: a full server is told as such`, async (t) => {
      const server = await serverFor(t, { args: ['--maxmemory', '1'] })
      await refused(t, on(server), /OOM/, /raise maxmemory/)
    })
  }

  test('a wrong password is told as such', async (t) => {
    const { port } = await serverFor(t, { args: ['--requirepass', 'right'], password: 'right' })
    await refused(t, ioredisOn({ port, password: 'wrong' }), /WRONGPASS|NOAUTH/, /password/)
    await refused(t, ioredisOn({ port }), /NOAUTH/, /password/)
    for (const password of ['wrong', undefined]) {
      const client = createClient({ socket: { host: '127.0.0.1', port }, ...(password === undefined ? {} : { password }) })
      client.on('error', () => undefined)
      client.connect().catch(() => undefined)
      await refused(t, { client, close: async () => client.destroy() }, /WRONGPASS|NOAUTH/, /password/)
    }
  })

  test('a server that does not listen, or does not answer, is told within openTimeout', async (t) => {
    await refused(t, ioredisOn({ port: await freePort() }), /ECONNREFUSED/, /check that the server runs/)
    const client = createClient({ socket: { host: '127.0.0.1', port: await freePort() } })
    client.on('error', () => undefined)
    client.connect().catch(() => undefined)
    await refused(t, { client, close: async () => client.destroy() }, /ECONNREFUSED|not connected/, /check that the server runs/)
    const server = await serverFor(t)
    const paused = ioredisOn(server)
    server.process.pause()
    await refused(t, paused, /no answer|not connected/, /check that the server runs/)
    server.process.resume()
  })

  test('a client of node-redis that was not connected is told to be', async (t) => {
    const client = createClient({ socket: { host: '127.0.0.1', port: 1 } })
    await refused(t, { client, close: async () => {} }, /connect\(\) of the client first/)
  })

  test('a store whose opening failed opens when the server is there', async (t) => {
    const port = await freePort()
    const store = redis(await clientFor(t, ioredisOn({ port })), { openTimeout: 200 })
    t.after(async () => store.close())
    await assert.rejects(store.open(), { name: 'StoreOpenError' })
    await assert.rejects(store.claim([claimOf('k')]), /call open\(\) first/)
    const server = await startRedis({ port })
    t.after(async () => server.stop())
    await until(
      async () =>
        store.open().then(
          () => true,
          () => false,
        ),
      'the store is open',
    )
    assert.equal((await store.claim([claimOf('k')]))[0]?.state, 'claimed')
  })

  test('a key of an operation that holds something else refuses its batch with StoreDataError, and nothing of it is applied', async (t) => {
    const server = await serverFor(t)
    const store = await storeFor(t, server)
    const claims = ['a', 'b', 'c'].map((key) => claimOf(key))
    const [a, b, c] = claims
    assert.ok(a && b && c)
    await server.command('SET', keyOf(b), 'theirs')
    await assert.rejects(store.claim(claims), { name: 'StoreDataError', message: /another prefix/ })
    assert.deepEqual(await store.find([a.id, c.id]), [null, null])
  })
})

describe('the guarantee of Redis', { skip: redisMissing ?? false }, () => {
  test('Redis is fenced with appendfsync always, noeviction and no replicas, and says so', async (t) => {
    const { tier, reason } = await guaranteeWith(t, durable)
    assert.deepEqual([tier, /appendfsync=always/.test(reason)], ['fenced', true])
  })

  test('Redis is best-effort by default, and names each setting that is to blame', async (t) => {
    const wanted: readonly [readonly string[], RegExp][] = [
      [[], /appendonly=no/],
      [['--appendonly', 'yes'], /appendfsync=everysec/],
      [[...durable, '--no-appendfsync-on-rewrite', 'yes'], /no-appendfsync-on-rewrite/],
      [[...durable, '--maxmemory-policy', 'allkeys-lru'], /maxmemory-policy=allkeys-lru/],
    ]
    for (const [args, pattern] of wanted) {
      const { tier, reason } = await guaranteeWith(t, args)
      assert.equal(tier, 'best-effort')
      assert.match(reason, pattern)
    }
  })

  test('Redis with a replica is best-effort, however durable it is', async (t) => {
    const master = await serverFor(t, { args: durable })
    const replica = await serverFor(t, { args: ['--replicaof', '127.0.0.1', String(master.port)] })
    const isUp = async (): Promise<boolean> => (await replica.command('INFO', 'replication')).includes('master_link_status:up')
    await until(isUp, 'the replica follows')
    const { guarantee } = await storeFor(t, master)
    assert.equal(guarantee.tier, 'best-effort')
    assert.match(guarantee.reason, /1 replicas/)
  })

  test('Redis whose settings may not be read is best-effort, and says why', async (t) => {
    const server = await serverFor(t, { args: durable })
    await server.command('ACL', 'SETUSER', 'bob', 'on', '>secret', '~onceward:*', '&*', '+@all', '-config')
    const bob = { port: server.port, username: 'bob', password: 'secret' }
    for (const { on } of clients) {
      const { guarantee } = await storeFor(t, server, { client: await clientFor(t, on(bob)) })
      assert.equal(guarantee.tier, 'best-effort')
      assert.match(guarantee.reason, /may not be read.*config/i)
    }
  })

  test('node-redis and ioredis find the same guarantee', async (t) => {
    const server = await serverFor(t, { args: durable })
    for (const { on } of clients)
      assert.equal((await storeFor(t, server, { client: await clientFor(t, on(server)) })).guarantee.tier, 'fenced')
  })
})
