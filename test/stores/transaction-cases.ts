import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { refusal, type AtomicOnce, type OncewardEvent, type OncewardOptions } from 'onceward'

/** Told of the statements of transactions, once the store is open, and may fail them. */
export interface TransactionTap {
  readonly before?: (sql: string) => void
  readonly after?: (sql: string) => void
}

/** An engine on a database that also has a table of orders. */
export interface Shop<Tx> {
  readonly once: AtomicOnce<Tx>
  readonly events: readonly OncewardEvent[]
  /** What was ordered, in that order, seen on a connection beside. */
  readonly orders: () => Promise<readonly string[]>
  /** Another engine on the same database, with a client of its own. */
  readonly another: () => Promise<{ readonly once: AtomicOnce<Tx> }>
}

/** How transactions are asked for with one client. */
export interface TransactionSubject<Tx> {
  readonly name: string
  /** A new database; all that is opened is closed after the test. */
  shop(t: TestContext, options?: Partial<OncewardOptions>, tap?: TransactionTap): Promise<Shop<Tx>>
  /** An engine that is not open, whose bridge leads to another database than its store. */
  mismatched(t: TestContext): Promise<AtomicOnce<Tx>>
  add(tx: Tx, item: string): Promise<void>
  /** Uses of the transaction, and of what was made with it, each of which would add an order. */
  steal(tx: Tx): readonly (() => unknown)[]
  /** The library's own code for what is used after the end, where it sees that first. */
  readonly endedCode?: string
  /** The bridge's name. */
  readonly bridge: string
  /** A bound within which a short transaction ends. Milliseconds. */
  readonly transactionMs: number
  /** Transactions run one after the other. */
  readonly isSerial: boolean
  /** What a commit fails with for which nobody is to blame; undefined where a test cannot come between. */
  readonly commitError: (() => Error) | undefined
}

const order = { scope: 'acme', name: 'order', key: 'k-1' } as const
const never = (): never => assert.fail('it ran')

/** What a transaction is used with after its end, however a library wraps that. */
function isEndedBy(error: unknown, codes: readonly unknown[]): boolean {
  if (!(error instanceof Error)) return false
  return ('code' in error && codes.includes(error.code)) || isEndedBy(error.cause, codes)
}

/** What transactions do, by whichever client or bridge. */
export function transactionCases<Tx>(subject: TransactionSubject<Tx>): void {
  const { add, transactionMs, isSerial, commitError } = subject
  const isEnded = (error: unknown): boolean => isEndedBy(error, ['attempt_ended', subject.endedCode ?? 'attempt_ended'])
  const inOrder = (items: readonly string[]): readonly string[] =>
    isSerial ? items : items.toSorted((a, b) => Number(a) - Number(b))

  describe(`a transaction on ${subject.name}`, () => {
    test('commits the effect and the outcome together, once', async (t) => {
      const { once, orders } = await subject.shop(t)
      const work = async ({ tx, number }: { tx: Tx; number: number }): Promise<object> => {
        await add(tx, 'book')
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
      assert.deepEqual(await orders(), ['book'])
    })

    test('is rolled back by a refusal, which is the outcome', async (t) => {
      const { once, orders } = await subject.shop(t)
      const work = async ({ tx }: { tx: Tx }): Promise<never> => {
        await add(tx, 'book')
        throw refusal(422, 'sold out', { item: 'book' })
      }
      await assert.rejects(once.transaction(order, work), { code: 'refused', message: 'sold out' })
      await assert.rejects(once.transaction(order, never), { code: 'refused', details: { item: 'book' } })
      assert.equal((await orders()).length, 0)
    })

    test('is rolled back by any other throw, and forgotten', async (t) => {
      const { once, orders, events } = await subject.shop(t)
      const failing = async ({ tx }: { tx: Tx }): Promise<never> => {
        await add(tx, 'book')
        throw new Error('no')
      }
      await assert.rejects(once.transaction(order, failing), { message: 'no' })
      assert.deepEqual(await once.peek(order), { state: 'absent' })
      assert.equal((await orders()).length, 0)
      await once.transaction({ ...order, input: 'another' }, async ({ tx }) => add(tx, 'pen'))
      assert.deepEqual(await orders(), ['pen'])
      assert.deepEqual(
        events.map(({ type }) => type).filter((type) => type !== 'opened'),
        ['claimed', 'interrupted', 'claimed', 'completed'],
      )
    })

    test('runs once for a hundred callers of two instances, who all get its value', async (t) => {
      const { once, orders, another } = await subject.shop(t)
      const { once: other } = await another()
      const call = (each: AtomicOnce<Tx>): Promise<string> =>
        each.transaction(order, async ({ tx }) => {
          await add(tx, 'book')
          await sleep(20)
          return 'done'
        })
      const values = await Promise.all(Array.from({ length: 100 }, (_, index) => call(index % 2 === 0 ? once : other)))
      assert.deepEqual(new Set(values), new Set(['done']))
      assert.equal((await orders()).length, 1)
    })

    test('never joins another: who fails takes back what is their own', async (t) => {
      const { once, orders } = await subject.shop(t)
      const calls = Array.from({ length: 20 }, (_, index) =>
        once.transaction({ ...order, key: `k-${index}` }, async ({ tx }) => {
          await add(tx, `${index}`)
          await sleep(1)
          if (index % 2 === 1) throw new Error('no')
        }),
      )
      const results = await Promise.allSettled(calls)
      assert.equal(results.filter(({ status }) => status === 'rejected').length, 10)
      assert.deepEqual(inOrder(await orders()), ['0', '2', '4', '6', '8', '10', '12', '14', '16', '18'])
    })

    test('finds an operation busy that an attempt elsewhere is running, and waits for its end', async (t) => {
      const { once, orders, another } = await subject.shop(t)
      const { once: other } = await another()
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
      assert.equal((await orders()).length, 0)
    })

    test('takes over what an attempt has left, and its record as a whole', async (t) => {
      const numbers: number[] = []
      const onEvent = (event: OncewardEvent): void => {
        if (event.type === 'completed') numbers.push(event.attempt)
      }
      const { once, orders } = await subject.shop(t, { ttl: 40, onEvent })
      const failing = async (): Promise<never> => Promise.reject(new Error('no'))
      await once.run({ ...order, ttl: '1h' }, failing).catch(() => {})
      assert.equal(await once.transaction(order, async ({ tx, number }) => (await add(tx, 'book'), number)), 2)
      assert.equal((await once.peek(order)).state, 'completed')
      assert.deepEqual(numbers, [2], 'the listener is told which attempt it was')
      const short = { ...order, key: 'k-2' }
      await once.transaction(short, async ({ tx }) => add(tx, 'pen'))
      await sleep(80)
      assert.equal(
        await once.transaction({ ...short, input: 'anew' }, async ({ tx, number }) => (await add(tx, 'ink'), number)),
        1,
      )
      assert.deepEqual(await orders(), ['book', 'pen', 'ink'])
    })

    test('is held where an earlier attempt is', async (t) => {
      const { once } = await subject.shop(t, { interrupted: 'hold' })
      await once.run(order, async () => Promise.reject(new Error('no'))).catch(() => {})
      assert.deepEqual(await once.tryTransaction(order, never), { state: 'held', attempt: 1, cause: 'thrown' })
    })

    test('that takes too long is rolled back, and what its handler does later does nothing', async (t) => {
      const { once, orders } = await subject.shop(t, { transactionTimeout: transactionMs })
      const late = Promise.withResolvers<unknown>()
      const work = async ({ tx }: { tx: Tx }): Promise<void> => {
        try {
          await add(tx, 'book')
          await sleep(3 * transactionMs)
          await add(tx, 'late')
          late.resolve('it was done')
        } catch (error) {
          late.resolve(error)
        }
      }
      await assert.rejects(once.transaction(order, work), {
        code: 'transaction_timeout',
        message: new RegExp(`${transactionMs} ms and was rolled back`),
      })
      assert.equal(await once.transaction({ ...order, key: 'k-2' }, async ({ tx }) => add(tx, 'pen')), undefined)
      assert.ok(isEnded(await late.promise), String(await late.promise))
      assert.deepEqual(await orders(), ['pen'])
      assert.deepEqual(await once.peek(order), { state: 'absent' })
    })

    test("that has ended lets nobody use its tx, nor a statement of it, in somebody else's", async (t) => {
      const { once, orders } = await subject.shop(t)
      const kept: (() => unknown)[] = []
      await once.transaction(order, ({ tx }) => {
        kept.push(...subject.steal(tx))
      })
      assert.ok(kept.length > 0)
      await once.transaction({ ...order, key: 'k-2' }, async () => {
        for (const use of kept) await assert.rejects(async () => use(), isEnded)
      })
      assert.equal((await orders()).length, 0)
    })

    test('inside itself is an error at once', async (t) => {
      const { once } = await subject.shop(t)
      const result = once.transaction(order, () => once.transaction(order, never))
      await assert.rejects(result, { code: 'nested_run' })
    })

    test('is known to whoever runs below its handler, and to nobody else', async (t) => {
      const { once, orders } = await subject.shop(t)
      const below = async (): Promise<void> => {
        await sleep(1)
        const here = once.current()
        assert.ok(here)
        await add(here.tx, 'below')
      }
      const ended = Promise.withResolvers<void>()
      let left: Promise<unknown> | undefined
      await once.transaction(order, async () => {
        left = ended.promise.then(() => once.current())
        await below()
      })
      ended.resolve()
      assert.equal(once.current(), undefined)
      assert.equal(await left, undefined, 'what the handler left behind is outside')
      assert.deepEqual(await orders(), ['below'])
    })

    test('whose commit fails is made again as a whole: one effect', { skip: commitError === undefined }, async (t) => {
      let failures = 2
      const before = (sql: string): void => {
        if (!/^commit$/i.test(sql) || failures === 0 || commitError === undefined) return
        failures -= 1
        throw commitError()
      }
      const { once, orders } = await subject.shop(t, {}, { before })
      let runs = 0
      const value = await once.transaction(order, async ({ tx }) => {
        runs += 1
        await add(tx, 'book')
        return 'done'
      })
      assert.deepEqual([value, runs, (await orders()).length], ['done', 3, 1])
    })

    test(
      'whose commit happened and was not answered is not made again: its outcome is found',
      { skip: commitError === undefined },
      async (t) => {
        let lost = 0
        const after = (sql: string): void => {
          if (!/^commit$/i.test(sql) || lost > 0 || commitError === undefined) return
          lost += 1
          throw commitError()
        }
        const { once, orders } = await subject.shop(t, {}, { after })
        const result = await once.tryTransaction(order, async ({ tx }) => {
          await add(tx, 'book')
          return 'done'
        })
        assert.deepEqual(result, { state: 'completed', value: 'done', replayed: false })
        assert.deepEqual([lost, (await orders()).length], [1, 1])
      },
    )

    test('with a bridge onto another database is refused when it opens', async (t) => {
      const once = await subject.mismatched(t)
      const message = `the bridge '${subject.bridge}' does not lead to the store's own database`
      await assert.rejects(once.open(), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'options_invalid')
        assert.ok(error.message.startsWith(message), error.message)
        return true
      })
      await once.close()
    })
  })
}
