import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once as event } from 'node:events'
import { createInterface } from 'node:readline'
import { suite, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { PoolClient } from 'pg'
import { onceward, type AtomicOnce, type OncewardOptions } from 'onceward'
import { postgres } from 'onceward/postgres'
import { connection, poolOf, serverFor } from '../stores/postgres-support.ts'
import { Proxy, type Direction } from './proxy.ts'

const { server, skip } = await serverFor()
const kills = Number(process.env['ONCEWARD_KILLS'] ?? 20)

/** An application on a pool of its own, both ended after the test. */
function application(t: TestContext, url: string, options: Partial<OncewardOptions> = {}): AtomicOnce<PoolClient> {
  const pool = poolOf(url, { connectionTimeoutMillis: 2_000 })
  const once = onceward({ ...options, store: postgres(pool) })
  t.after(async () => {
    await once.close()
    await pool.end()
  })
  return once
}

interface Orders {
  readonly url: string
  /** How often each thing was ordered. */
  readonly counts: () => Promise<ReadonlyMap<string, number>>
}

async function newOrders(t: TestContext): Promise<Orders> {
  assert.ok(server)
  const url = await server.database()
  const beside = await connection(t, url)
  await beside.query('CREATE TABLE orders (id serial PRIMARY KEY, item text NOT NULL)')
  const counts = async (): Promise<ReadonlyMap<string, number>> => {
    const { rows } = await beside.query<{ item: string; n: number }>(
      'SELECT item, count(*)::integer AS n FROM orders GROUP BY item',
    )
    return new Map(rows.map(({ item, n }) => [item, n]))
  }
  return { url, counts }
}

const operation = (key: string) => ({ scope: 'acme', name: 'order', key }) as const

async function insert(tx: PoolClient, item: string): Promise<number | undefined> {
  return (await tx.query<{ id: number }>('INSERT INTO orders (item) VALUES ($1) RETURNING id', [item])).rows[0]?.id
}

/** Asks until it is answered, as a caller does. */
async function until(once: AtomicOnce<PoolClient>, key: string): Promise<number | undefined> {
  for (let tries = 60; ; tries -= 1)
    try {
      return await once.transaction(operation(key), async ({ tx }) => insert(tx, key))
    } catch (error) {
      if (tries <= 0) throw error
      await sleep(50)
    }
}

interface Child {
  readonly process: ChildProcess
  readonly lines: string[]
  readonly said: (line: string) => Promise<void>
  readonly ended: Promise<unknown>
}

function child(t: TestContext, ...args: string[]): Child {
  const file = fileURLToPath(new URL('postgres-shop.ts', import.meta.url))
  const started = spawn(process.execPath, ['--conditions=onceward-source', file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  const reader = createInterface({ input: started.stdout })
  reader.on('line', (line) => lines.push(line))
  t.after(() => started.kill('SIGKILL'))
  const said = async (line: string): Promise<void> => {
    while (!lines.includes(line)) {
      assert.equal(started.exitCode, null, `it has ended without '${line}'`)
      await sleep(5)
    }
  }
  return { process: started, lines, said, ended: event(reader, 'close') }
}

/** What was answered for each key; one and the same to all. */
function answersOf(children: readonly Child[]): Map<string, string> {
  const answers = new Map<string, string>()
  for (const line of children.flatMap(({ lines }) => lines)) {
    const [, key, id] = /^answer (\S+) (\S+)$/.exec(line) ?? []
    if (key === undefined || id === undefined) continue
    assert.equal(answers.get(key) ?? id, id, key)
    answers.set(key, id)
  }
  return answers
}

suite('transactions on Postgres under faults', { skip }, () => {
  test('a transaction cut off at any message, in either direction, with a duplicate beside it, has one effect and one answer', async (t) => {
    assert.ok(server)
    const { url, counts } = await newOrders(t)
    const beside = application(t, url)
    await beside.open()
    const proxy = await Proxy.before(server.port)
    t.after(async () => proxy.close())
    const through = url.replace(`:${server.port}/`, `:${proxy.port}/`)
    const cutAt = async (direction: Direction, chunk: number, isAlone: boolean): Promise<boolean> => {
      const once = application(t, through)
      await once.open()
      const key = `${direction}-${chunk}-${isAlone}`
      proxy.cutAt(direction, chunk)
      const [one, other] = await Promise.all([until(once, key), isAlone ? undefined : until(beside, key)])
      const hasCut = !proxy.disarm()
      assert.equal(await until(beside, key), one)
      assert.equal(other ?? one, one)
      assert.equal((await counts()).get(key), 1, key)
      return hasCut
    }
    for (const direction of ['up', 'down'] as const)
      for (const isAlone of [true, false]) {
        let chunk = 1
        while ((await cutAt(direction, chunk, isAlone)) || chunk < 6) chunk += 1
        // Alone: begin, look, effect, record, commit.
        if (isAlone) assert.ok(chunk > 5, `${direction}: ${chunk}`)
      }
  })

  test('two processes that take the same orders take each once, and answer alike', async (t) => {
    const { url, counts } = await newOrders(t)
    const children = [child(t, url, 'work', 'both', '60'), child(t, url, 'work', 'both', '60')]
    await Promise.all(children.map(async ({ ended }) => ended))
    assert.equal(answersOf(children).size, 60)
    assert.deepEqual(new Set((await counts()).values()), new Set([1]))
    assert.equal((await counts()).size, 60)
  })

  test(
    'processes killed at any moment leave no effect without its record, and no record without its effect',
    { timeout: 60_000 + kills * 3_000 },
    async (t) => {
      const { url, counts } = await newOrders(t)
      const after = application(t, url)
      const together = 5
      for (let round = 0; round * together < kills; round += 1) {
        const children = Array.from({ length: together }, () => child(t, url, 'work', `round-${round}`, '300'))
        await Promise.all(
          children.map(async ({ process: { pid }, said, ended }) => {
            await said('ready')
            await sleep(Math.random() * 300)
            if (pid !== undefined) process.kill(pid, 'SIGKILL')
            await ended
          }),
        )
        const answers = answersOf(children)
        const keys = Array.from({ length: 300 }, (_, index) => `round-${round}-${index}`)
        const ids = await Promise.all(keys.map(async (key) => until(after, key)))
        for (const [index, key] of keys.entries()) assert.equal(answers.get(key) ?? String(ids[index]), String(ids[index]), key)
        assert.equal((await counts()).size, (round + 1) * 300)
      }
      assert.deepEqual(new Set((await counts()).values()), new Set([1]))
    },
  )

  test('an owner that stands still longer than its bound is ended by the server, and what it does later changes nothing', async (t) => {
    const { url, counts } = await newOrders(t)
    const { process: owner, said, ended, lines } = child(t, url, 'stand', 'k-1')
    await said('standing')
    owner.kill('SIGSTOP')
    const second = application(t, url, { wait: '20s' })
    const id = await second.transaction(operation('k-1'), async ({ tx }) => insert(tx, 'second'))
    owner.kill('SIGCONT')
    await ended
    assert.deepEqual([...(await counts())], [['second', 1]])
    const last = lines.at(-1) ?? ''
    assert.ok([`answer k-1 ${id}`, 'failed transaction_timeout'].includes(last) || last.startsWith('failed error'), last)
  })

  test('five hundred duplicates on a pool of four hold no connection while they wait', async (t) => {
    const { url, counts } = await newOrders(t)
    const pool = poolOf(url)
    const engines = Array.from({ length: 8 }, () => onceward({ wait: '30s', store: postgres(pool, { listen: false }) }))
    t.after(async () => {
      await Promise.all(engines.map(async (once) => once.close()))
      await pool.end()
    })
    const [first] = engines
    assert.ok(first)
    await Promise.all(engines.map(async (once) => once.open()))
    const call = async (once: AtomicOnce<PoolClient>): Promise<number | undefined> =>
      once.transaction(operation('storm'), async ({ tx }) => {
        // While it is at work, another order gets through beside five hundred who wait.
        await first.transaction(operation('beside'), async ({ tx: own }) => insert(own, 'beside'))
        return insert(tx, 'storm')
      })
    const answers = await Promise.all(Array.from({ length: 500 }, async (_, index) => call(engines[index % 8] ?? first)))
    assert.equal(new Set(answers).size, 1)
    assert.deepEqual(Object.fromEntries(await counts()), { beside: 1, storm: 1 })
  })

  test('an attempt and a transaction of the same operation at the same time: one of them runs', async (t) => {
    const { url, counts } = await newOrders(t)
    const [one, other] = [application(t, url), application(t, url)]
    const beside = poolOf(url)
    t.after(async () => beside.end())
    const keys = Array.from({ length: 60 }, (_, index) => `k-${index}`)
    await Promise.all(
      keys.map(async (key) => {
        const plain = one.run(operation(key), async () => {
          await beside.query('INSERT INTO orders (item) VALUES ($1)', [key])
          return 'plain'
        })
        const joined = other.transaction(operation(key), async ({ tx }) => (await insert(tx, key), 'joined'))
        const [a, b] = await Promise.all([plain, joined])
        assert.equal(a, b)
      }),
    )
    assert.deepEqual(new Set((await counts()).values()), new Set([1]))
    assert.equal((await counts()).size, keys.length)
  })

  test('a conflict of the handler with another transaction has it run again', async (t) => {
    const { url, counts } = await newOrders(t)
    const once = application(t, url)
    let runs = 0
    const value = await once.transaction(operation('k-1'), async ({ tx }) => {
      runs += 1
      await insert(tx, 'k-1')
      if (runs === 3) return 'done'
      const code = runs === 1 ? '40001' : '40P01'
      // As an ORM wraps it.
      await tx
        .query(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '${code}'; END $$`)
        .catch((cause: unknown) => Promise.reject(new Error('failed query', { cause })))
      return 'never'
    })
    assert.deepEqual([value, runs], ['done', 3])
    assert.deepEqual([...(await counts())], [['k-1', 1]])
  })
})
