import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NestedRunError } from 'onceward'
import { assertNoUnhandledRejections, charge, inMemory } from './support.ts'

assertNoUnhandledRejections()

const refund = { ...charge, name: 'refund' }
const never = (): never => assert.fail('it ran')

test('an operation run inside itself is an error at once, rather than a wait for its own end', async () => {
  const once = inMemory()
  await assert.rejects(
    once.run(charge, () => once.run(charge, never)),
    (error: unknown) => error instanceof NestedRunError && error.message.includes("'charge'"),
  )
})

test('a handler that catches that error goes on and completes', async () => {
  const once = inMemory()
  const value = await once.run(charge, async () => (await once.run(charge, never).catch(({ code }) => code)) as string)
  assert.equal(value, 'nested_run')
  assert.equal(await once.run(charge, never), 'nested_run')
})

test('it is detected across an operation in between', async () => {
  const once = inMemory()
  const inner = (): Promise<unknown> => once.run(charge, never)
  await assert.rejects(
    once.run(charge, () => once.run(refund, inner)),
    NestedRunError,
  )
})

test('it is detected behind a wait, in a branch of its own, and by way of try, execute or a defined operation', async () => {
  const once = inMemory()
  const defined = once.operation('charge', never)
  const calls = [
    () => new Promise((resolve) => setImmediate(resolve)).then(() => once.run(charge, never)),
    () => once.try(charge, never),
    () => once.execute({ ...charge, fingerprint: '0'.repeat(64) }, async () => never()),
    () => defined({ scope: charge.scope, key: charge.key }, 1),
  ]
  const results = await once.run(charge, async () => {
    const settled = await Promise.allSettled(calls.map((call) => call()))
    return settled.map((each) => each.status === 'rejected' && each.reason.code)
  })
  assert.deepEqual(results, ['nested_run', 'nested_run', 'nested_run', 'nested_run'])
})

test('operations that only share a word may be nested', async () => {
  const once = inMemory()
  const others = [refund, { ...charge, scope: 'tenant-2' }, { ...charge, key: 'k-2' }]
  const value = await once.run(charge, async () => {
    const values = []
    for (const other of others) values.push(await once.run(other, () => other.name))
    return values
  })
  assert.deepEqual(value, ['refund', 'charge', 'charge'])
})

test('after the attempt has ended, what its handler left behind may run the operation again: it replays', async () => {
  const once = inMemory()
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  let leftBehind: Promise<string> | undefined
  const value = await once.run(charge, () => {
    leftBehind = ended.then(() => once.run<string>(charge, never))
    return 'first'
  })
  end()
  assert.equal(value, 'first')
  assert.equal(await leftBehind, 'first')
})

test('a retry within the code that ran an interrupted attempt is not nested', async () => {
  const once = inMemory()
  let runs = 0
  const work = (): number => {
    runs += 1
    if (runs === 1) throw new Error('flaky')
    return runs
  }
  const value = await once.run(refund, async () => {
    await assert.rejects(once.run(charge, work), { message: 'flaky' })
    return once.run(charge, work)
  })
  assert.equal(value, 2)
})
