import { isHeldAfter, type InterruptedPolicy, type InterruptionCause, type Policy } from '../core/policy.ts'
import type { OperationRecord, Outcome, RecordState, Step } from '../core/record.ts'
import type { RecordView } from '../core/store.ts'
import type { Claim, ClaimResult, Settlement } from '../core/transitions.ts'
import { viewAt } from '../core/view.ts'
import type { RedisWord } from './redis-clients.ts'

/** A reply's string, or nothing. */
type Text = Buffer | null | undefined

/** What the script is told of a claim. */
export function claimWords({ owner, fingerprint, leaseMs, policy, scope, name, key }: Claim): RedisWord[] {
  const ttl = isHeldAfter(policy, 'lapsed', 1) ? '' : String(policy.ttlMs)
  return ['claim', owner, fingerprint, String(leaseMs), ttl, policyText(policy), scope, name, key]
}

/** What the script is told of a settlement. */
export function settlementWords(settlement: Settlement): RedisWord[] {
  switch (settlement.kind) {
    case 'complete':
      return ['complete', settlement.owner, String(settlement.attempt), ...outcomeWords(settlement.outcome)]
    case 'interrupt':
      return ['interrupt', settlement.owner, String(settlement.attempt), settlement.cause]
    case 'renew':
      return ['renew', settlement.owner, String(settlement.attempt), String(settlement.leaseMs)]
    case 'step': {
      const { owner, attempt, leaseMs, step } = settlement
      return ['step', owner, String(attempt), String(leaseMs), step.name, ...outcomeWords(step.result)]
    }
    case 'release':
      return ['release', settlement.owner]
    case 'resolve': {
      const { outcome, resolution } = settlement
      return ['resolve', resolution.actor, resolution.reason, ...(outcome === null ? ['', '', ''] : outcomeWords(outcome))]
    }
  }
}

/** What the script is told of a record that is to be removed if it is still the same. */
export function purgeWords({ state, attempt, owner, createdAt }: OperationRecord): RedisWord[] {
  return ['purge', state, String(attempt), owner, String(createdAt)]
}

/** What the script said of a claim. */
export function claimOf(reply: unknown): ClaimResult {
  const [state, ...rest] = reply as [Buffer, ...unknown[]]
  switch (String(state)) {
    case 'claimed': {
      const [attempt, generation, ...steps] = rest as [number, ...Text[]]
      return { state: 'claimed', attempt, generation: text(generation), steps: stepsOf(steps) }
    }
    case 'busy':
      return { state: 'busy', leaseMs: Number(rest[0]) }
    case 'completed':
      return { state: 'completed', outcome: outcomeOf(rest as Text[]) }
    case 'held':
      return { state: 'held', attempt: Number(rest[0]), cause: String(rest[1]) as InterruptionCause }
    case 'mismatch':
      return { state: 'mismatch' }
    case 'expired':
      return { state: 'expired' }
    default:
      throw new Error(`the script said '${String(state)}': this version of Onceward does not know it`)
  }
}

/** What the script showed of a record, and the time by which it looked. */
export function viewOf(id: string, reply: unknown): { readonly now: number; readonly view: RecordView | null } {
  const [now, fields] = reply as [number, Text[] | undefined]
  return { now, view: fields === undefined ? null : viewAt(recordOf(id, fields), now) }
}

function recordOf(id: string, fields: readonly Text[]): OperationRecord {
  const [
    state,
    attempt,
    owner,
    lease,
    expires,
    fingerprint,
    policy,
    created,
    ended,
    cause,
    scope,
    name,
    key,
    actor,
    reason,
    generation,
    ...rest
  ] = fields
  const [kept] = rest
  return {
    id,
    scope: text(scope),
    name: text(name),
    key: text(key),
    fingerprint: text(fingerprint),
    generation: text(generation ?? owner),
    policy: policyOf(text(policy)),
    state: text(state) as RecordState,
    attempt: Number(text(attempt)),
    owner: text(owner),
    leaseUntil: Number(text(lease)),
    cause: cause ? (text(cause) as InterruptionCause) : null,
    createdAt: Number(text(created)),
    endedAt: ended ? Number(text(ended)) : null,
    expiresAt: expires && expires.length > 0 ? Number(text(expires)) : null,
    outcome: kept ? outcomeOf(rest) : null,
    steps: stepsOf(rest.slice(3)),
    resolution: actor && reason ? { actor: text(actor), reason: text(reason) } : null,
  }
}

/** `ttl remember holds attemptsMax`, where `holds` names the causes after which the operation is held. */
function policyText({ ttlMs, rememberMs, interrupted, attemptsMax }: Policy): string {
  const holds = (['answered', 'thrown', 'lapsed'] as const).filter((cause) => interrupted[cause] === 'hold').join(',')
  return `${ttlMs} ${rememberMs} ${holds === '' ? 'none' : holds} ${attemptsMax}`
}

function policyOf(stored: string): Policy {
  const [ttl, remember, holds = '', attemptsMax] = stored.split(' ')
  const rule = (cause: keyof InterruptedPolicy): InterruptedPolicy['lapsed'] =>
    holds.split(',').includes(cause) ? 'hold' : 'retry'
  const interrupted = { answered: rule('answered'), thrown: rule('thrown'), lapsed: rule('lapsed') }
  return { ttlMs: Number(ttl), rememberMs: Number(remember), interrupted, attemptsMax: Number(attemptsMax) }
}

/** A body as the Buffer that both clients take, over the same bytes. */
function outcomeWords({ kept, meta, body }: Outcome): RedisWord[] {
  return [kept ? '1' : '0', meta, Buffer.from(body.buffer, body.byteOffset, body.byteLength)]
}

function outcomeOf([kept, meta, body]: readonly Text[]): Outcome {
  return { kept: text(kept) === '1', meta: text(meta), body: plain(body) }
}

function stepsOf(fields: readonly Text[]): readonly Step[] {
  const steps: Step[] = []
  for (let at = 0; at < fields.length; at += 4)
    steps.push({ name: text(fields[at]), result: outcomeOf(fields.slice(at + 1, at + 4)) })
  return steps
}

function text(value: Text): string {
  return value?.toString() ?? ''
}

/** Buffers have a `slice` and a JSON that are not those of bytes; and a small one keeps the whole chunk that it came in alive. */
function plain(value: Text): Uint8Array {
  return value ? new Uint8Array(value) : new Uint8Array(0)
}
