import { isHeldAfter, type InterruptedPolicy, type InterruptionCause, type Policy } from '../core/policy.ts'
import type { OperationRecord, Outcome, RecordState, Step } from '../core/record.ts'
import type { RecordView } from '../core/store.ts'
import type { Claim, ClaimResult, Settlement } from '../core/transitions.ts'
import { viewAt } from '../core/view.ts'
import type { RedisWord } from './redis-clients.ts'

/** A reply's string, or nothing. */
type Text = Buffer | number | null | undefined

/** What the script is told of a claim. */
export function claimWords({ owner, fingerprint, leaseMs, policy, scope, name, key }: Claim): RedisWord[] {
  const ttl = String(policy.ttlMs)
  const lapsed = isHeldAfter(policy, 'lapsed', 1) ? '' : ttl
  const rest = [ttl, String(policy.rememberMs), holdsText(policy), String(policy.attemptsMax)]
  return ['claim', owner, fingerprint, String(leaseMs), lapsed, ...rest, scope, name, key]
}

/** What the script is told of a settlement. */
export function settlementWords(settlement: Settlement): RedisWord[] {
  switch (settlement.kind) {
    case 'complete':
      return ['complete', settlement.owner, String(settlement.attempt), outcomeWord(settlement.outcome)]
    case 'interrupt':
      return ['interrupt', settlement.owner, String(settlement.attempt), settlement.cause]
    case 'renew':
      return ['renew', settlement.owner, String(settlement.attempt), String(settlement.leaseMs)]
    case 'step': {
      const { owner, attempt, leaseMs, step } = settlement
      return ['step', owner, String(attempt), String(leaseMs), step.name, outcomeWord(step.result)]
    }
    case 'release':
      return ['release', settlement.owner]
    case 'resolve': {
      const { outcome, resolution } = settlement
      return ['resolve', resolution.actor, resolution.reason, outcome === null ? '' : outcomeWord(outcome)]
    }
  }
}

/** What the script is told of a record that is to be removed if it is still the same. */
export function purgeWords({ state, attempt, owner, createdAt }: OperationRecord): RedisWord[] {
  return ['purge', state, String(attempt), owner, String(createdAt)]
}

/** What the script said of a claim. */
export function claimOf({ owner }: Claim, reply: unknown): ClaimResult {
  if (reply === 1) return { state: 'claimed', attempt: 1, generation: owner, steps: noSteps }
  const [state, ...rest] = reply as [Buffer, ...unknown[]]
  switch (String(state)) {
    case 'claimed': {
      const [attempt, generation, ...steps] = rest as [number, ...Text[]]
      return { state: 'claimed', attempt, generation: text(generation), steps: stepsOf(steps) }
    }
    case 'busy':
      return { state: 'busy', leaseMs: Number(rest[0]) }
    case 'completed':
      return { state: 'completed', outcome: outcomeOf(rest[0] as Text) }
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
  const [now, fields, outcome, steps] = reply as [number, Fields | undefined, Text, readonly Text[] | undefined]
  if (fields === undefined) return { now, view: null }
  return { now, view: viewAt(recordOf(id, fields, { outcome, steps: steps ?? [] }), now) }
}

/** A record's small part, in the script's order. Nothing where there is not one. */
type Fields = readonly [
  state: Text,
  attempt: number,
  owner: Text,
  lease: number,
  expires: number | null,
  fingerprint: Text,
  ended: number | null,
  cause: Text,
  steps: number,
  ttl: number,
  remember: number,
  holds: Text,
  max: number,
  created: number,
  scope: Text,
  name: Text,
  key: Text,
  generation: Text,
  actor: Text,
  reason: Text,
]

/** What stands beside it. */
interface Beside {
  readonly outcome: Text
  readonly steps: readonly Text[]
}

function recordOf(id: string, fields: Fields, { outcome, steps }: Beside): OperationRecord {
  const [state, attempt, owner, lease, expires, fingerprint, ended, cause, , ttl, remember, holds, max, created, ...rest] = fields
  const [scope, name, key, generation, actor, reason] = rest
  return {
    id,
    scope: text(scope),
    name: text(name),
    key: text(key),
    fingerprint: text(fingerprint),
    generation: text(generation ?? owner),
    policy: { ttlMs: ttl, rememberMs: remember, interrupted: interruptedOf(text(holds)), attemptsMax: max },
    state: text(state) as RecordState,
    attempt,
    owner: text(owner),
    leaseUntil: lease,
    cause: cause ? (text(cause) as InterruptionCause) : null,
    createdAt: created,
    endedAt: ended,
    expiresAt: expires,
    outcome: outcome ? outcomeOf(outcome) : null,
    steps: stepsOf(steps),
    resolution: actor && reason ? { actor: text(actor), reason: text(reason) } : null,
  }
}

/** The causes after which the operation is held. */
function holdsText({ interrupted }: Policy): string {
  return (['answered', 'thrown', 'lapsed'] as const).filter((cause) => interrupted[cause] === 'hold').join(',')
}

function interruptedOf(holds: string): InterruptedPolicy {
  const rule = (cause: keyof InterruptedPolicy): InterruptedPolicy['lapsed'] =>
    holds.split(',').includes(cause) ? 'hold' : 'retry'
  return { answered: rule('answered'), thrown: rule('thrown'), lapsed: rule('lapsed') }
}

/** An outcome as one word, which the script does not look into: whether it is kept, the meta's bytes behind their number, and the body. */
function outcomeWord({ kept, meta, body }: Outcome): Uint8Array {
  const metaBytes = Buffer.byteLength(meta)
  const word = Buffer.allocUnsafe(5 + metaBytes + body.byteLength)
  word[0] = Number(kept)
  word.writeUInt32BE(metaBytes, 1)
  word.write(meta, 5)
  word.set(body, 5 + metaBytes)
  return word
}

function outcomeOf(word: Text): Outcome {
  if (!Buffer.isBuffer(word)) throw new TypeError('the script gave a record whose outcome is no bytes')
  const bodyAt = 5 + word.readUInt32BE(1)
  // A copy: a Buffer has a `slice` and a JSON that are not those of bytes, and a small one keeps the whole chunk that it came in alive.
  return { kept: word[0] === 1, meta: word.toString('utf8', 5, bodyAt), body: new Uint8Array(word.subarray(bodyAt)) }
}

const noSteps: readonly Step[] = []

function stepsOf(fields: readonly Text[]): readonly Step[] {
  const steps: Step[] = []
  for (let at = 0; at < fields.length; at += 2) steps.push({ name: text(fields[at]), result: outcomeOf(fields[at + 1]) })
  return steps
}

/**
 * The items of a batch in MessagePack: an array of arrays of strings, each behind a letter for its kind and its length in four bytes. As
 * one word, since a client handles each word of a command by itself, which was measured to cost more than all the rest.
 */
export function packed(items: readonly (readonly RedisWord[])[]): Buffer {
  let bytes = 5
  for (const words of items) {
    bytes += 5
    for (const word of words) bytes += 5 + (typeof word === 'string' ? Buffer.byteLength(word) : word.byteLength)
  }
  const message = Buffer.allocUnsafe(bytes)
  let at = head(message, 0, 0xdd, items.length)
  for (const words of items) {
    at = head(message, at, 0xdd, words.length)
    for (const word of words) {
      const length = typeof word === 'string' ? message.write(word, at + 5) : word.byteLength
      if (typeof word !== 'string') message.set(word, at + 5)
      at = head(message, at, 0xdb, length) + length
    }
  }
  return message
}

/** What stands before a string or an array; where what it has begins. */
function head(message: Buffer, at: number, kind: number, length: number): number {
  message[at] = kind
  return message.writeUInt32BE(length, at + 1)
}

function text(value: Text): string {
  return value?.toString() ?? ''
}
