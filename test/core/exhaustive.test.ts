import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isHeldAfter } from '../../src/core/policy.ts'
import { stateAt, type OperationRecord } from '../../src/core/record.ts'
import { decideClaim, decideSettlement, type Settlement } from '../../src/core/transitions.ts'
import { claimOf, leaseMs, outcomeOf, policyOf, start } from './support.ts'
import type { Policy } from '../../src/core/policy.ts'

/**
 * A search through every order in which three owners' claims and settlements, an operator's word and the clock can meet, message by
 * message. A message once possible stays possible, so that late and repeated ones are among the orders. Nothing here knows how the tables
 * decide: it watches what they answer.
 */

/** A fence that was granted. */
interface Grant {
  readonly owner: string
  readonly attempt: number
  /** Until when its holder takes itself for the owner, by what it was answered. */
  readonly until: number
  readonly released: boolean
  /** Its handler has started: it has settled something. */
  readonly started: boolean
  /** Granted before the record was last absent. */
  readonly former: boolean
}

interface World {
  readonly record: OperationRecord | null
  readonly now: number
  /** In the order in which they were granted. */
  readonly grants: readonly Grant[]
  /** How the world came about, for the message. */
  readonly path: string
}

type Move = (world: World) => World | null

const owners = ['A', 'B', 'C']
const ttlMs = 150 // less than two leases, so that the clock's steps cross each boundary apart

function claims(policy: Policy): Move[] {
  return owners.map((owner, index) => (world) => {
    // The owners are alike: an order that differs only in their names is looked at once.
    const before = owners[index - 1]
    if (before !== undefined && !world.path.includes(`${before} claims`)) return null
    return afterClaim(world, owner, policy)
  })
}

function afterClaim(world: World, owner: string, policy: Policy): World {
  const { record, now } = world
  const { result, record: next } = decideClaim(record, claimOf({ owner, policy }), now)
  const path = `${world.path}; ${owner} claims: ${result.state}`
  const state = record === null ? 'absent' : stateAt(record, now)
  checkKept(world, next, path)
  if (result.state !== 'claimed') {
    assert.equal(next, record, `${path}: a claim that is not granted writes nothing`)
    return { ...world, path }
  }
  const own = record?.owner === owner && record.state === 'running'
  assert.ok(own || state === 'absent' || state === 'interrupted', `${path}: granted although ${state}`)
  const grants = state === 'absent' ? world.grants.map(asFormer) : world.grants
  const last = grants.findLast(({ released, former }) => !released && !former)
  assert.ok(result.attempt >= (last?.attempt ?? 0), `${path}: the attempt number fell to ${result.attempt}`)
  assert.ok(result.attempt <= policy.attemptsMax, `${path}: attempt ${result.attempt} is beyond attemptsMax`)
  const grant = { owner, attempt: result.attempt, until: now + leaseMs, released: false, started: false, former: false }
  return { record: next, now, grants: [...grants.filter((other) => !isSame(other, grant)), grant], path }
}

function asFormer(grant: Grant): Grant {
  return { ...grant, former: true }
}

function isSame(a: Grant, b: Grant): boolean {
  return a.owner === b.owner && a.attempt === b.attempt
}

/** Every fence that was ever granted may still settle, whatever happened since. */
function settlements(kind: 'complete' | 'thrown' | 'answered' | 'renew' | 'release'): Move[] {
  return [0, 1, 2, 3, 4].map((index) => (world) => {
    const grant = world.grants[index]
    // Only a claim whose handler never started is released, and what was released never settles: the engine's part of the contract.
    const hasStarted = world.grants.some(({ owner, started }) => started && owner === grant?.owner)
    if (grant === undefined || grant.released || (kind === 'release' && hasStarted)) return null
    return afterSettlement(world, grant, kind)
  })
}

function settlementOf(kind: string, { owner, attempt }: Grant): Settlement {
  const fence = { id: claimOf().id, owner, attempt }
  switch (kind) {
    case 'complete':
      return { ...fence, kind, outcome: outcomeOf(`${owner}${attempt}`) }
    case 'renew':
      return { ...fence, kind, leaseMs }
    case 'release':
      return { id: fence.id, owner, kind }
    case 'thrown':
    case 'answered':
      return { ...fence, kind: 'interrupt', cause: kind }
    default:
      throw new Error(kind)
  }
}

function afterSettlement(world: World, grant: Grant, kind: string): World {
  const { record, now } = world
  const settlement = settlementOf(kind, grant)
  const { result, record: next } = decideSettlement(record, settlement, now)
  const path = `${world.path}; ${grant.owner}${grant.attempt} ${kind}: ${result}`
  checkKept(world, next, path)
  if (!isCurrent(world, grant, kind)) {
    assert.equal(next, record, `${path}: a fenced owner changed the record`)
    if (kind !== 'release') assert.equal(result, 'stale', `${path}: a fenced owner's settlement was accepted`)
  }
  const again = decideSettlement(next, settlement, now)
  if (result === 'ok' && (kind === 'complete' || kind === 'thrown' || kind === 'answered'))
    assert.deepEqual(again, { result: 'ok', record: next }, `${path}: the same again is not accepted`)
  if (result === 'stale') return { ...world, path }
  const until = kind === 'renew' ? now + leaseMs : now
  if (kind === 'release') return { record: next, now, grants: world.grants.map((other) => afterRelease(other, grant)), path }
  const settled = { ...grant, until, started: true }
  return { record: next, now, grants: world.grants.map((other) => (other === grant ? settled : other)), path }
}

function afterRelease(other: Grant, { owner }: Grant): Grant {
  return other.owner === owner ? { ...other, released: true } : other
}

/**
 * By the history alone: the last one granted, while the record lives and nobody resolved it. A release compares the owner only, since the
 * reply that said which attempt it had may have been lost.
 */
function isCurrent({ record, now, grants }: World, grant: Grant, kind: string): boolean {
  const last = grants.at(-1)
  if (last === undefined || last.former || record === null || record.resolution !== null) return false
  return stateAt(record, now) !== 'absent' && (kind === 'release' ? last.owner === grant.owner : last === grant)
}

function resolutions(): Move[] {
  return [outcomeOf('resolved'), null].map((outcome) => (world) => {
    const { record, now } = world
    const resolution = { actor: 'ann', reason: 'test' }
    const decision = decideSettlement(record, { kind: 'resolve', id: claimOf().id, outcome, resolution }, now)
    const path = `${world.path}; resolved ${outcome === null ? 'absent' : 'with an outcome'}: ${decision.result}`
    checkKept(world, decision.record, path)
    if (decision.result === 'stale') return null
    assert.ok(record !== null && stateAt(record, now) === 'held', `${path}: not held`)
    return { record: decision.record, now, grants: decision.record === null ? world.grants.map(asFormer) : world.grants, path }
  })
}

function clock(): Move[] {
  return [leaseMs / 2, leaseMs, ttlMs].map((ms) => (world) => {
    if (world.record === null) return null
    const path = `${world.path}; ${ms} ms`
    const next = { ...world, now: world.now + ms, path }
    const before = stateAt(world.record, world.now)
    const after = stateAt(world.record, next.now)
    if (before === 'held') assert.equal(after, 'held', `${path}: a held operation expired`)
    if (world.record.state === 'running' && world.record.leaseUntil > next.now) assert.equal(after, 'running', path)
    return next
  })
}

/** An outcome is never lost or replaced before its time, nor the record of a running or held operation but by those who may. */
function checkKept({ record, now }: World, next: OperationRecord | null, path: string): void {
  if (record === null || stateAt(record, now) !== 'completed') return
  assert.equal(next?.state, 'completed', `${path}: an outcome was lost`)
  assert.deepEqual(next.outcome, record.outcome, `${path}: an outcome was overwritten`)
}

function checkWorld({ record, now, grants, path }: World): void {
  const live = grants.filter(({ until, released }) => until > now && !released)
  assert.ok(live.length <= 1, `${path}: ${live.length} live owners`)
  const able = grants.filter((grant) => {
    const { result, record: next } = decideSettlement(record, settlementOf('complete', grant), now)
    return result === 'ok' && next !== record
  })
  assert.ok(able.length <= 1, `${path}: ${able.length} owners could complete`)
  const unreleased = grants.filter(({ released, former }) => !released && !former).map(({ attempt }) => attempt)
  assert.equal(new Set(unreleased).size, unreleased.length, `${path}: an attempt number was used by two owners`)
  if (record !== null && stateAt(record, now) === 'interrupted') {
    const cause = record.state === 'running' ? 'lapsed' : record.cause
    const { policy, attempt } = record
    assert.ok(cause === null || record.owner === '' || !isHeldAfter(policy, cause, attempt), `${path}: should be held`)
  }
}

/** Two worlds that differ only in when they are, and how they came about, go on alike. */
function identity({ record, now, grants, path }: World): string {
  const since = (time: number | null): number | null => (time === null ? null : Math.max(time - now, -10 * leaseMs))
  const seen = owners.filter((owner) => path.includes(`${owner} claims`)).length
  const times = record && [since(record.leaseUntil), since(record.expiresAt), since(record.endedAt)]
  const what = record && [
    record.state,
    record.attempt,
    record.owner,
    record.cause,
    record.outcome?.body.join(),
    record.resolution,
  ]
  return JSON.stringify([seen, times, what, grants.map((grant) => ({ ...grant, until: Math.max(grant.until - now, 0) }))])
}

function search(policy: Policy, depth: number): number {
  const kinds = ['complete', 'thrown', 'answered', 'renew', 'release'] as const
  const moves = [...claims(policy), ...kinds.flatMap(settlements), ...resolutions(), ...clock()]
  const seen = new Set<string>()
  let worlds: World[] = [{ record: null, now: start, grants: [], path: '' }]
  for (let step = 0; step < depth; step += 1) {
    worlds = worlds.flatMap((world) => moves.flatMap((move) => move(world) ?? [])).filter((world) => isNew(world, seen))
    for (const world of worlds) checkWorld(world)
  }
  return seen.size
}

function isNew(world: World, seen: Set<string>): boolean {
  const before = seen.size
  return seen.add(identity(world)).size > before
}

const hold = { answered: 'hold', thrown: 'hold', lapsed: 'hold' } as const
const policies = {
  'that retries': policyOf({ ttlMs }),
  'that holds': policyOf({ ttlMs, interrupted: hold }),
  'that holds what lapsed': policyOf({ ttlMs, interrupted: { ...policyOf().interrupted, lapsed: 'hold' } }),
  'of two attempts, and a tombstone': policyOf({ ttlMs, attemptsMax: 2, rememberMs: 50 }),
}

for (const [name, policy] of Object.entries(policies))
  test(`in every order of messages under a policy ${name} there is one owner, one outcome, and no fenced owner changes anything`, () => {
    const worlds = search(policy, 8)
    assert.ok(worlds > 1_000, `only ${worlds} worlds`)
  })
