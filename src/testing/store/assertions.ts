import { strict as assert } from 'node:assert'
import type { ClaimResult } from '../../core/transitions.ts'
import type { Outcome, OperationRecord, Step } from '../../core/record.ts'
import type { RecordView } from '../../core/store.ts'
import { sha256 } from './fixtures.ts'

/** How much a machine that stalls may let a time differ from the one expected; below every distance between two boundaries. */
const toleranceMs = 20_000

/** What a claim is expected to find; the generation has a case of its own. */
export type Expected = Exclude<ClaimResult, { state: 'claimed' }> | Omit<Extract<ClaimResult, { state: 'claimed' }>, 'generation'>

/** That a claim found this. A busy one's `leaseMs` may differ by the time that passed in between. */
export function assertFound(actual: ClaimResult | undefined, expected: Expected, message?: string): void {
  if (expected.state === 'busy' && actual?.state === 'busy') assertLeaseMs(actual.leaseMs, expected.leaseMs)
  assert.deepEqual(actual === undefined ? actual : plainResult(actual), plainResult(expected), message)
}

/** That claims found these, in the same order. */
export function assertFoundAll(actual: readonly ClaimResult[], expected: readonly Expected[]): void {
  assert.deepEqual(
    actual.map(({ state }) => state),
    expected.map(({ state }) => state),
  )
  for (const [index, each] of expected.entries()) assertFound(actual[index], each, `claim ${index} of the batch`)
}

/** That two looks at one record show the same, except for the time that passed in between. */
export function assertSeen(actual: RecordView | null | undefined, expected: RecordView | null): void {
  assert.deepEqual(actual === null || actual === undefined ? actual : plainView(actual), expected && plainView(expected))
  if (actual && expected) assertTimes(actual.record, expected.record)
}

/** A record's times, counted from its creation: the store's clock need not be this process's. */
function assertTimes(actual: OperationRecord, expected: OperationRecord): void {
  for (const time of ['leaseUntil', 'endedAt', 'expiresAt'] as const) {
    const [found, wanted] = [actual[time], expected[time]]
    if (found === null || wanted === null) assert.equal(found, wanted, time)
    else assertNear(found - actual.createdAt, wanted - expected.createdAt, time)
  }
}

function assertLeaseMs(actualMs: number, expectedMs: number): void {
  assert.ok(actualMs >= 0, `leaseMs is not negative: ${actualMs}`)
  assertNear(actualMs, expectedMs, 'leaseMs')
}

function assertNear(actualMs: number, expectedMs: number, what: string): void {
  const near = Math.abs(actualMs - expectedMs) <= toleranceMs
  assert.ok(near, `${what}: ${actualMs} ms is not within ${toleranceMs} ms of ${expectedMs} ms`)
}

/** A result with the members of its state and no others; bytes as text, whatever class of array they come in. */
function plainResult(result: Expected): object {
  switch (result.state) {
    case 'claimed':
      return { state: 'claimed', attempt: result.attempt, steps: result.steps.map(plainStep) }
    case 'completed':
      return { state: 'completed', outcome: plainOutcome(result.outcome) }
    case 'held':
      return { state: 'held', attempt: result.attempt, cause: result.cause }
    case 'busy':
    case 'mismatch':
    case 'expired':
      return { state: result.state }
  }
}

/** A view without its times. Of an expired record the outcome is left out: it goes when a sweep comes by. */
function plainView({ record, state, cause }: RecordView): object {
  const { id, scope, name, key, fingerprint, policy, attempt, owner, outcome, steps, resolution } = record
  const stored = state === 'expired' ? {} : { state: record.state, outcome: outcome && plainOutcome(outcome) }
  const words = { id, scope, name, key, fingerprint, policy: plainPolicy(policy) }
  const operator = resolution && { actor: resolution.actor, reason: resolution.reason }
  return { state, cause, words, attempt, owner, steps: steps.map(plainStep), resolution: operator, ...stored }
}

function plainPolicy({ ttlMs, rememberMs, interrupted, attemptsMax }: OperationRecord['policy']): object {
  const { answered, thrown, lapsed } = interrupted
  return { ttlMs, rememberMs, answered, thrown, lapsed, attemptsMax }
}

function plainStep({ name, result }: Step): object {
  return { name, result: plainOutcome(result) }
}

function plainOutcome({ kept, meta, body }: Outcome): object {
  assert.ok(body instanceof Uint8Array, 'a body is a Uint8Array')
  return { kept, meta, bytes: body.length, body: body.length > 1_000 ? sha256(body) : Buffer.from(body).toString('hex') }
}
