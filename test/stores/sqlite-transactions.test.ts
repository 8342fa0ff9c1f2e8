import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { onceward, refusal, type AtomicOnce, type Bridge, type OncewardEvent, type OncewardOptions } from 'onceward'
import { memory } from 'onceward/memory'
import { sqlite, type SqliteDatabase, type SqliteDriver, type SqliteOptions } from 'onceward/sqlite'
import { connection, drivers, newFile, tapped } from './sqlite-support.ts'

const order = { scope: 'acme', name: 'order', key: 'k-1' } as const
const never = (): never => assert.fail('it ran')

interface Shop {
  readonly once: AtomicOnce<SqliteDatabase>
  readonly events: OncewardEvent[]
}

/** An engine on the file, which also has a table of orders; closed after the test. */
async function shopOn(
  t: TestContext,
  file: string,
  { driver, ...options }: Pick<SqliteOptions, 'driver'> & Partial<OncewardOptions> = {},
): Promise<Shop> {
  const events: OncewardEvent[] = []
  const store = sqlite(file, driver === undefined ? {} : { driver })
  const once = onceward({ wait: '5s', onEvent: (event) => void events.push(event), ...options, store })
  await once.open()
  t.after(async () => once.close())
  return { once, events }
}

function tableOn(t: TestContext, file: string, driver: SqliteDriver): { count(): number; items(): string[] } {
  const database = connection(t, file, driver)
  database.exec('CREATE TABLE IF NOT EXISTS orders (item TEXT)')
  const items = (): string[] =>
    (database.prepare('SELECT item FROM orders ORDER BY rowid').all() as { item: string }[]).map(({ item }) => item)
  return { items, count: () => items().length }
}

const add = (tx: SqliteDatabase, item: string): void => void tx.prepare('INSERT INTO orders VALUES (?)').run(item)

for (const { name, driver } of drivers)
  describe(`a transaction on ${name}`, () => {
    const shop = async (t: TestContext, options: Partial<OncewardOptions> = {}) => {
      const file = newFile(t)
      return { file, ...(await shopOn(t, file, { driver, ...options })), orders: tableOn(t, file, driver) }
    }

    test('commits the effect and the outcome together, once', async (t) => {
      const { once, orders } = await shop(t)
      const work = async ({ tx, number }: { tx: SqliteDatabase; number: number }): Promise<object> => {
        add(tx, 'book')
        await sleep(1)
        return { item: 'book', number }
      }
      const input = { item: 'book' }
      assert.deepEqual(await once.transaction({ ...order, input }, work), { item: 'book', number: 1 })
      assert.deepEqual(await once.tryTransaction({ ...order, input }, never), {
        state: 'completed',
        value: { item: 'book', number: 1 },
        replayed: true,
      })
      assert.deepEqual(await once.run({ ...order, input }, never), { item: 'book', number: 1 }, 'whoever asks')
      assert.deepEqual(await once.tryTransaction({ ...order, input: 'other' }, never), { state: 'mismatch' })
      assert.deepEqual(orders.items(), ['book'])
    })

    test('is rolled back by a refusal, which is the outcome', async (t) => {
      const { once, orders } = await shop(t)
      const work = ({ tx }: { tx: SqliteDatabase }): never => {
        add(tx, 'book')
        throw refusal(422, 'sold out', { item: 'book' })
      }
      await assert.rejects(once.transaction(order, work), { code: 'refused', message: 'sold out' })
      await assert.rejects(once.transaction(order, never), { code: 'refused', details: { item: 'book' } })
      assert.equal(orders.count(), 0)
    })

    test('is rolled back by any other throw, and forgotten', async (t) => {
      const { once, orders, events } = await shop(t)
      const failing = async ({ tx }: { tx: SqliteDatabase }): Promise<never> => {
        add(tx, 'book')
        throw new Error('no')
      }
      await assert.rejects(once.transaction(order, failing), { message: 'no' })
      assert.deepEqual(await once.peek(order), { state: 'absent' })
      assert.equal(orders.count(), 0)
      await once.transaction({ ...order, input: 'another' }, ({ tx }) => add(tx, 'pen'))
      assert.deepEqual(orders.items(), ['pen'])
      assert.deepEqual(
        events.map(({ type }) => type).filter((type) => type !== 'opened'),
        ['claimed', 'interrupted', 'claimed', 'completed'],
      )
    })

    test('runs once for a hundred callers of two instances, who all get its value', async (t) => {
      const { once, orders, file } = await shop(t)
      const { once: other } = await shopOn(t, file, { driver })
      const call = (each: AtomicOnce<SqliteDatabase>): Promise<string> =>
        each.transaction(order, async ({ tx }) => {
          add(tx, 'book')
          await sleep(20)
          return 'done'
        })
      const values = await Promise.all(Array.from({ length: 100 }, (_, index) => call(index % 2 === 0 ? once : other)))
      assert.deepEqual(new Set(values), new Set(['done']))
      assert.equal(orders.count(), 1)
    })

    test('never joins another: who fails takes back what is their own', async (t) => {
      const { once, orders } = await shop(t)
      const calls = Array.from({ length: 20 }, (_, index) =>
        once.transaction({ ...order, key: `k-${index}` }, async ({ tx }) => {
          add(tx, `${index}`)
          await sleep(1)
          if (index % 2 === 1) throw new Error('no')
        }),
      )
      const results = await Promise.allSettled(calls)
      assert.equal(results.filter(({ status }) => status === 'rejected').length, 10)
      assert.deepEqual(orders.items(), ['0', '2', '4', '6', '8', '10', '12', '14', '16', '18'])
    })

    test('finds an operation busy that an attempt elsewhere is running, and waits for its end', async (t) => {
      const { once, orders, file } = await shop(t)
      const { once: other } = await shopOn(t, file, { driver })
      const started = Promise.withResolvers<void>()
      const running = once.run(order, async () => {
        started.resolve()
        await sleep(50)
        return 'by hand'
      })
      await started.promise
      assert.equal((await other.tryTransaction({ ...order, wait: 0 }, never)).state, 'busy')
      assert.equal(await other.transaction(order, never), 'by hand')
      await running
      assert.equal(orders.count(), 0)
    })

    test('takes over what an attempt has left, and its record as a whole', async (t) => {
      const { once, orders } = await shop(t, { ttl: 40 })
      const failing = async (): Promise<never> => Promise.reject(new Error('no'))
      await once.run({ ...order, ttl: '1h' }, failing).catch(() => {})
      assert.equal(await once.transaction(order, ({ tx, number }) => (add(tx, 'book'), number)), 2)
      assert.equal((await once.peek(order)).state, 'completed')
      const short = { ...order, key: 'k-2' }
      await once.transaction(short, ({ tx }) => add(tx, 'pen'))
      await sleep(80)
      assert.equal(await once.transaction({ ...short, input: 'anew' }, ({ tx, number }) => (add(tx, 'ink'), number)), 1)
      assert.deepEqual(orders.items(), ['book', 'pen', 'ink'])
    })

    test('is held where an earlier attempt is', async (t) => {
      const { once } = await shop(t, { interrupted: 'hold' })
      await once.run(order, async () => Promise.reject(new Error('no'))).catch(() => {})
      assert.deepEqual(await once.tryTransaction(order, never), { state: 'held', attempt: 1, cause: 'thrown' })
    })

    test('that takes too long is rolled back, and what its handler does later does nothing', async (t) => {
      const { once, orders } = await shop(t, { transactionTimeout: 40 })
      const late = Promise.withResolvers<unknown>()
      const work = async ({ tx }: { tx: SqliteDatabase }): Promise<void> => {
        add(tx, 'book')
        await sleep(120)
        try {
          add(tx, 'late')
          late.resolve('it was done')
        } catch (error) {
          late.resolve(error)
        }
      }
      await assert.rejects(once.transaction(order, work), { code: 'transaction_timeout', message: /40 ms and was rolled back/ })
      assert.equal(await once.transaction({ ...order, key: 'k-2' }, ({ tx }) => add(tx, 'pen')), undefined)
      assert.equal(((await late.promise) as { code?: string }).code, 'attempt_ended')
      assert.deepEqual(orders.items(), ['pen'])
      assert.deepEqual(await once.peek(order), { state: 'absent' })
    })

    test("that has ended lets nobody use its tx, nor a statement of it, in somebody else's", async (t) => {
      const { once, orders } = await shop(t)
      const kept: (() => unknown)[] = []
      await once.transaction(order, ({ tx }) => {
        const statement = tx.prepare("INSERT INTO orders VALUES ('stolen')")
        kept.push(
          () => statement.run(),
          () => tx.exec("INSERT INTO orders VALUES ('stolen')"),
        )
      })
      await once.transaction({ ...order, key: 'k-2' }, () => {
        for (const use of kept) assert.throws(use, { code: 'attempt_ended' })
      })
      assert.equal(orders.count(), 0)
    })

    test('inside itself is an error at once', async (t) => {
      const { once } = await shop(t)
      const result = once.transaction(order, () => once.transaction(order, never))
      await assert.rejects(result, { code: 'nested_run' })
    })

    test('is known to whoever runs below its handler, and to nobody else', async (t) => {
      const { once, orders } = await shop(t)
      const below = async (): Promise<void> => {
        await sleep(1)
        const here = once.current()
        assert.ok(here)
        add(here.tx, 'below')
      }
      let left: Promise<unknown> | undefined
      await once.transaction(order, async () => {
        left = sleep(30).then(() => once.current())
        await below()
      })
      assert.equal(once.current(), undefined)
      assert.equal(await left, undefined, 'what the handler left behind is outside')
      assert.deepEqual(orders.items(), ['below'])
    })

    test('whose commit fails is made again as a whole: one effect', async (t) => {
      const file = newFile(t)
      const orders = tableOn(t, file, driver)
      let failures = 2
      const before = (sql: string): void => {
        if (sql !== 'COMMIT' || failures === 0 || isOpening) return
        failures -= 1
        throw Object.assign(new Error('disk I/O error'), { errcode: 10, code: 'SQLITE_IOERR' })
      }
      let isOpening = true
      const { once } = await shopOn(t, file, { driver: tapped(driver, { before }) })
      isOpening = false
      let runs = 0
      const value = await once.transaction(order, ({ tx }) => {
        runs += 1
        add(tx, 'book')
        return 'done'
      })
      assert.deepEqual([value, runs, orders.count()], ['done', 3, 1])
    })

    test('whose commit happened and was not answered is not made again: its outcome is found', async (t) => {
      const file = newFile(t)
      const orders = tableOn(t, file, driver)
      let lost = 0
      let isOpening = true
      const after = (sql: string): void => {
        if (sql !== 'COMMIT' || lost > 0 || isOpening) return
        lost += 1
        throw Object.assign(new Error('disk I/O error'), { errcode: 10, code: 'SQLITE_IOERR' })
      }
      const { once } = await shopOn(t, file, { driver: tapped(driver, { after }) })
      isOpening = false
      const result = await once.tryTransaction(order, ({ tx }) => {
        add(tx, 'book')
        return 'done'
      })
      assert.deepEqual(result, { state: 'completed', value: 'done', replayed: false })
      assert.deepEqual([lost, orders.count()], [1, 1])
    })

    test('with a bridge onto another file is refused when it opens', async (t) => {
      const file = newFile(t)
      const elsewhere = newFile(t)
      await shopOn(t, elsewhere, { driver })
      const other = sqlite(elsewhere, { driver })
      const once = onceward({ store: sqlite(file, { driver }), transactions: other.bridge })
      await assert.rejects(once.open(), {
        code: 'options_invalid',
        message: /bridge 'sqlite' does not lead to the store's own database/,
      })
      await once.close()
    })
  })

test('a database in memory, which has one connection, is refused when a transaction is asked for', async () => {
  const once = onceward({ store: sqlite(':memory:') })
  await assert.rejects(once.transaction(order, never), {
    code: 'options_invalid',
    message: /nothing ran: give a file for transactions/,
  })
  await once.close()
})

test('a store that cannot be atomic is refused when a transaction is asked for, and when a bridge is given', async () => {
  const bridge: Bridge<string> = { name: 'none', transaction: never, query: never }
  assert.throws(() => onceward({ store: memory(), transactions: bridge }), {
    code: 'options_invalid',
    message: /'memory' cannot commit/,
  })
  const once = onceward({ store: memory() })
  // @ts-expect-error The type of an engine on memory has no transaction.
  const ask = (): Promise<unknown> => once.transaction(order, never)
  await assert.rejects(ask(), {
    code: 'options_invalid',
    message: /'memory' cannot commit an effect and its record together; nothing ran/,
  })
})
