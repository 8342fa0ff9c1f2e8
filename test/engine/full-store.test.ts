import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOncewardError, onceward } from 'onceward'
import { memory } from 'onceward/memory'

const operationOf = (key: string): { scope: string; name: string; key: string } => ({ scope: 'acme', name: 'charge', key })

test('a full store refuses a new operation, and still replays those of the same turn that it knows', async () => {
  const once = onceward({ store: memory({ recordsMax: 2 }) })
  const charge = (key: string): Promise<string> => once.run(operationOf(key), () => key)
  await charge('a')
  await charge('b')
  const [a, c, b] = await Promise.allSettled([charge('a'), charge('c'), charge('b')])
  assert.deepEqual(a, { status: 'fulfilled', value: 'a' })
  assert.deepEqual(b, { status: 'fulfilled', value: 'b' })
  assert.ok(c.status === 'rejected' && isOncewardError(c.reason) && c.reason.code === 'store_full')
  await once.close()
})
