import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once as eventOf } from 'node:events'
import { after, before, suite, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPool, type Pool, type PoolConnection } from 'mysql2/promise'
import { hasMariadb, notRun, startMariadb, type Mariadb, type MariadbDatabase } from '../../scripts/servers/mariadb.ts'
import { onceward, type AtomicOnce } from '../../src/index.ts'
import { mysql } from '../../src/stores/mysql.ts'
import { poolFor } from '../stores/mysql-support.ts'
import { Proxy, type Direction } from './proxy.ts'

const program = new URL('../stores/mysql-transaction-child.ts', import.meta.url).pathname
const kills = Number(process.env['ONCEWARD_KILLS'] ?? 50)
const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => server?.stop())

const never = (): never => assert.fail('it ran again')

/** A database with a table of effects, each with a token that is also its operation's outcome. */
async function effectsOn(): Promise<MariadbDatabase> {
  const database = await server.database()
  const pool = database.pool()
  await pool.query('CREATE TABLE effects (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80), token VARCHAR(40))')
  await pool.end()
  return database
}

async function tokensOf(pool: Pool, key: string): Promise<readonly string[]> {
  const [rows] = await pool.query('SELECT token FROM effects WHERE name = ?', [key])
  assert.ok(Array.isArray(rows))
  return rows.map((row) => String(Object(row)['token']))
}

function engineOn(t: TestContext, pool: Pool): AtomicOnce<PoolConnection> {
  const once = onceward({ wait: '30s', storeTimeout: '2s', store: mysql(pool, { callTimeout: '2s' }) })
  t.after(async () => once.close())
  return once
}

const operation = (key: string) => ({ scope: 'acme', name: 'order', key }) as const

async function effect(tx: PoolConnection, key: string): Promise<string> {
  const token = crypto.randomUUID()
  await tx.query('INSERT INTO effects (name, token) VALUES (?, ?)', [key, token])
  return token
}

/** Asks until it is answered with a value; bounded by the test's own time. */
async function insisted(
  once: AtomicOnce<PoolConnection>,
  key: string,
  work: (attempt: { readonly tx: PoolConnection }) => Promise<string>,
): Promise<string> {
  for (;;) {
    const token = await once.transaction(operation(key), work).catch(() => sleep(20))
    if (token !== undefined) return token
  }
}

suite('transactions on a MariaDB that fails', { skip }, () => {
  test('a transaction on MariaDB cut at any message, with a duplicate beside it, has one effect and one answer', async (t) => {
    const proxy = await Proxy.before(server.port)
    const { port } = proxy
    t.after(async () => proxy.close())
    const database = await effectsOn()
    const pool = poolFor(t, database)
    const direct = engineOn(t, pool)
    await direct.open()
    for (const direction of ['up', 'down'] as const) await cutAtEach(direction)

    async function cutAtEach(direction: Direction): Promise<void> {
      for (let chunk = 1; ; chunk += 1) {
        const cut = createPool({ host: '127.0.0.1', port, user: 'root', database: database.name, connectTimeout: 2_000 })
        const once = engineOn(t, cut)
        const key = `${direction} ${chunk}`
        await once.open()
        const begun = Promise.withResolvers<void>()
        setTimeout(begun.resolve, 40)
        proxy.cutAt(direction, chunk)
        const answers = await Promise.all([
          insisted(once, key, async ({ tx }) => {
            begun.resolve()
            return effect(tx, key)
          }),
          begun.promise.then(async () => insisted(direct, key, async ({ tx }) => effect(tx, key))),
        ])
        const tokens = await tokensOf(pool, key)
        assert.deepEqual([tokens.length, new Set([...answers, ...tokens]).size], [1, 1], `cut ${key}`)
        assert.equal(await direct.transaction(operation(key), never), tokens[0])
        await once.close()
        await cut.end()
        if (proxy.disarm()) return assert.ok(chunk > 5, 'begin, look, effect, outcome and commit were each cut')
        assert.ok(chunk < 100, 'a call has an end')
      }
    }
  })

  test('500 duplicates of two instances on a MariaDB pool of 4 hold no connection while they wait', async (t) => {
    const database = await effectsOn()
    const pool = poolFor(t, database, { connectionLimit: 4 })
    const engines = [engineOn(t, pool), engineOn(t, pool)]
    await Promise.all(engines.map(async (once) => once.open()))
    const answers = Array.from({ length: 500 }, async (_, index) =>
      engines[index % 2]?.transaction(operation('storm'), async ({ tx }) => {
        const token = await effect(tx, 'storm')
        await sleep(300)
        const others = await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()])
        for (const other of others) other.release()
        return token
      }),
    )
    assert.deepEqual(new Set(await Promise.all(answers)), new Set(await tokensOf(pool, 'storm')))
    assert.equal((await tokensOf(pool, 'storm')).length, 1)
    const many = Array.from({ length: 500 }, async (_, index) =>
      insisted(engines[index % 2] ?? assert.fail(), `k-${index % 50}`, async ({ tx }) => effect(tx, `k-${index % 50}`)),
    )
    assert.equal(new Set(await Promise.all(many)).size, 50)
    for (let key = 0; key < 50; key += 1) assert.equal((await tokensOf(pool, `k-${key}`)).length, 1)
  })

  test('processes that are killed in their transactions on MariaDB leave one effect for each key, and lose none that was answered', async (t) => {
    const database = await effectsOn()
    const pool = poolFor(t, database)
    await engineOn(t, pool).open()
    const asked = new Set<string>()
    const answered = new Map<string, string>()
    const kill = async (round: number): Promise<void> => {
      const child = spawn(process.execPath, [program, database.url, `r${round}`], { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      child.stdout.on('data', (chunk) => (said += String(chunk)))
      await eventOf(child.stdout, 'data')
      await sleep(Math.random() * 200)
      child.kill('SIGKILL')
      await eventOf(child, 'close')
      for (const line of said.split('\n').slice(0, -1)) {
        const [what, key = '', token = ''] = line.split(' ')
        asked.add(key)
        if (what === 'answered') assert.equal(answered.get(key) ?? token, token)
        if (what === 'answered') answered.set(key, token)
      }
    }
    for (let round = 0; round < kills; round += 5) await Promise.all([0, 1, 2, 3, 4].map(async (more) => kill(round + more)))
    const once = engineOn(t, pool)
    for (const key of asked) {
      const token = await insisted(once, key, async ({ tx }) => effect(tx, key))
      assert.equal(token, answered.get(key) ?? token, 'what was answered is the answer')
      assert.deepEqual(await tokensOf(pool, key), [token])
    }
    const [rows] = await pool.query('SELECT COUNT(*) AS effects FROM effects')
    assert.ok(Array.isArray(rows))
    assert.equal(Number(Object(rows[0])['effects']), asked.size)
    assert.ok(answered.size > kills, 'they were under load')
    t.diagnostic(`${kills} kills, ${asked.size} keys, ${answered.size} answered before`)
  })

  test('a process that stands still in its transaction on MariaDB for longer than its bound is overtaken, and answers as the other', async (t) => {
    const database = await effectsOn()
    const pool = poolFor(t, database)
    const once = engineOn(t, pool)
    await once.open()
    const child = spawn(process.execPath, [program, database.url], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => child.kill('SIGKILL'))
    let said = ''
    child.stdout.on('data', (chunk) => (said += String(chunk)))
    await eventOf(child.stdout, 'data')
    child.kill('SIGSTOP')
    const token = await insisted(once, 'stopped', async ({ tx }) => effect(tx, 'stopped'))
    child.kill('SIGCONT')
    await eventOf(child, 'close')
    assert.match(said, new RegExp(`^inside\n(inside\n)*answered ${token}\n$`))
    assert.deepEqual(await tokensOf(pool, 'stopped'), [token])
  })
})
