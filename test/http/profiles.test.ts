import assert from 'node:assert/strict'
import { test } from 'node:test'
import { everyone, idempotent } from 'onceward/node'
import { onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { profiles, type Profile } from 'onceward/profiles'
import { policyOf } from '../../src/http/policy.ts'

const once = onceward({ store: memory() })
const policyWith = (profile: Profile) => policyOf({ once, scope: everyone, ...profile })

test('every profile is a set of options that the door takes', () => {
  for (const profile of Object.values(profiles)) idempotent({ once, scope: everyone, ...profile }, () => {})
})

test('the default profile changes nothing', () => {
  // What is made anew for each policy is the same by its making.
  const made = { scope: undefined, unreplayed: undefined, execute: undefined }
  assert.deepEqual({ ...policyWith(profiles.default), ...made }, { ...policyOf({ once, scope: everyone }), ...made })
})

test('the profile stripe says what Stripe documents of its API v1', () => {
  const { required, methods, stores, mismatchStatus, waitMs, operation } = policyWith(profiles.stripe)
  assert.deepEqual([required, [...methods], mismatchStatus, waitMs], [false, ['POST'], 400, 0])
  assert.ok([200, 400, 402, 408, 425, 429, 500, 503].every(stores))
  assert.deepEqual(operation, { ttl: 86_400_000, interrupted: { thrown: 'hold' } })
})

test('options behind a profile win over it', () => {
  assert.equal(policyWith({ ...profiles.stripe, required: true, wait: '2s' }).waitMs, 2_000)
})
