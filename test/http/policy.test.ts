import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits, onceward, OptionsError } from 'onceward'
import { memory } from 'onceward/memory'
import { everyone, idempotent } from 'onceward/node'
import { policyOf, type HttpOptions } from '../../src/http/policy.ts'

const once = onceward({ store: memory(), wait: 7_000 })

function policy(changes: Partial<HttpOptions<unknown>> = {}): ReturnType<typeof policyOf<unknown>> {
  return policyOf({ once, scope: everyone, ...changes })
}

/** Options that only a caller without types can give. */
function wrong(changes: object): () => unknown {
  return () => idempotent({ once, scope: everyone, ...changes }, () => {})
}

test('the defaults are those of the design', () => {
  const { stores, methods, unreplayed, ...rest } = policy()
  assert.deepEqual([...methods], ['POST', 'PATCH'])
  assert.deepEqual(
    [200, 204, 302, 400, 404, 409, 422, 499].map((status) => stores(status)),
    Array.from({ length: 8 }, () => true),
  )
  assert.deepEqual(
    [408, 425, 429, 500, 503, 599].map((status) => stores(status)),
    Array.from({ length: 6 }, () => false),
  )
  assert.ok(unreplayed.has('idempotency-key'))
  const { required, header, strict, mismatchStatus, earlyData, storeDown, waitMs } = rest
  assert.deepEqual(
    { required, header, strict, mismatchStatus, earlyData, storeDown, waitMs },
    {
      required: true,
      header: 'Idempotency-Key',
      strict: false,
      mismatchStatus: 422,
      earlyData: 'refuse',
      storeDown: 'refuse',
      waitMs: 7_000, // what onceward() was told
    },
  )
  const { requestBytesMax, heldBytesMax, outcomeBytesMax } = rest
  assert.deepEqual(
    [requestBytesMax, heldBytesMax, outcomeBytesMax],
    [limits.requestBytesMax, limits.heldBytesMax, limits.outcomeBytesMax],
  )
})

test('what is set for operations is handed to the engine, and the rest is left to it', () => {
  assert.deepEqual(policy().operation, {})
  const set = policy({ ttl: '1h', remember: 5, interrupted: 'hold', attemptsMax: 3, wait: '2s' })
  assert.deepEqual(set.operation, { ttl: 3_600_000, remember: 5, interrupted: 'hold', attemptsMax: 3 })
  assert.equal(set.waitMs, 2_000)
})

test('a wrong option is refused when the layer is made, with its name and the remedy', () => {
  for (const [changes, message] of [
    [{ scope: undefined }, /^scope must be given.*byAuthorization/],
    [{ scope: 'tenant' }, /^scope must be given/],
    [{ once: undefined }, /^once must be given.*onceward/],
    [{ once: {} }, /^once must be given/],
    [{ colour: 'red' }, /^colour is not an option.*it has once, transaction, scope/],
    [{ required: 'yes' }, /^required must be true or false/],
    [{ transaction: 1 }, /^transaction must be true or false/],
    [{ transaction: true, once: { execute: () => {} } }, /^transaction: true needs what onceward\(\) returned/],
    [{ strict: 1 }, /^strict must be true or false/],
    [{ methods: [] }, /^methods must be a list/],
    [{ methods: ['post'] }, /^methods has post: give methods in upper case/],
    [{ methods: ['POST', 'GET'] }, /^methods has GET, which is safe/],
    [{ header: 'Idempotency Key' }, /^header has Idempotency Key/],
    [{ stores: 200 }, /^stores must be a function/],
    [{ onError: true }, /^onError must be a function/],
    [{ fingerprint: 'body' }, /^fingerprint has body: give a list/],
    [{ fingerprint: ['cookie'] }, /^fingerprint has cookie/],
    [{ mismatchStatus: 418 }, /^mismatchStatus must be one of 422, 400, 409, not 418/],
    [{ earlyData: 'maybe' }, /^earlyData must be one of refuse, accept/],
    [{ storeDown: true }, /^storeDown must be one of refuse, run/],
    [{ requestBytesMax: '1mb' }, /^requestBytesMax must be a whole number of bytes/],
    [{ heldBytesMax: -1 }, /^heldBytesMax must be a whole number/],
    [{ outcomeBytesMax: 1.5 }, /^outcomeBytesMax must be a whole number/],
    [{ notReplayed: 'X-A' }, /^notReplayed must be a list/],
    [{ notReplayed: ['X A'] }, /^notReplayed has X A/],
    [{ ttl: 'a day' }, /^ttl is 'a day'/],
    [{ ttl: 0 }, /^ttl is 0/],
    [{ wait: -1 }, /^wait is -1/],
    [{ remember: NaN }, /^remember is NaN/],
    [{ interrupted: 'maybe' }, /^interrupted must be 'retry' or 'hold'/],
    [{ attemptsMax: 0 }, /^attemptsMax must be a whole number from 1/],
  ] as const)
    assert.throws(
      wrong(changes),
      (error: unknown) => error instanceof OptionsError && message.test(error.message),
      JSON.stringify(changes),
    )
  assert.throws(() => idempotent(null as never, () => {}), OptionsError)
})
