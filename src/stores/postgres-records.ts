import { setTimeout as pause } from 'node:timers/promises'
import { StoreDataError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { OperationRecord } from '../core/record.ts'
import type { RecordFilter, RecordView } from '../core/store.ts'
import {
  decideClaim,
  decideSettlement,
  type Claim,
  type ClaimResult,
  type Settlement,
  type SettleResult,
} from '../core/transitions.ts'
import { isMeant, viewAt } from '../core/view.ts'
import {
  afterValue,
  claimRow,
  claimValues,
  completeValues,
  idValues,
  lookOf,
  settleValues,
  writeValues,
  type Change,
  type Common,
  type Look,
  type Read,
} from './postgres-rows.ts'
import { CLAIM, CLAIM_ONE, COMPLETE_ONE, READ, READ_SLICE, SETTLE, SWEEP, WRITE } from './postgres-sql.ts'
import type { PostgresStatements } from './postgres-statements.ts'

/** Rows looked at in one statement of a listing or a purge. */
const sliceRows = 500

/** Bytes of outcomes in one statement. They travel as text, twice as long. */
const chunkBytes = 4_194_304

/** Looks at an operation whose row is locked, or changes between look and decision; then its claim is busy. Milliseconds before each. */
const claimPausesMs = [0, 1, 4] as const

/** How long settlements of a locked row are tried in one call. Milliseconds. */
const lockedMs = 250

/** What the records of one database are given. */
export interface RecordsOptions {
  readonly statements: PostgresStatements
  /** The channel on which watchers are told. */
  readonly channel: string
  /** Tells this table's advisory locks from another's. */
  readonly salt: bigint
  /** Locks that each transaction may hold without taking room from others. */
  readonly locksMax: number
}

/**
 * The records of one database. The tables of `core/` decide; their commonest lines are SQL as well. No transaction is open between a
 * look and what follows from it: a decision is written if nobody has changed the row since, and else made anew.
 */
export class PostgresRecords {
  readonly #statements: PostgresStatements
  readonly #channel: string
  readonly #salt: bigint
  readonly #locksMax: number

  constructor({ statements, channel, salt, locksMax }: RecordsOptions) {
    this.#statements = statements
    this.#channel = channel
    this.#salt = salt
    this.#locksMax = locksMax
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    checkIds(claims)
    const results: ClaimResult[] = []
    let open = [...claims.keys()]
    for (const pauseMs of claimPausesMs) {
      if (open.length === 0) break
      if (pauseMs > 0) await pause(pauseMs)
      open = await this.#claimOpen(claims, open, results)
    }
    for (const index of open) results[index] = { state: 'busy', leaseMs: 0 }
    return results
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    checkIds(settlements)
    const results: SettleResult[] = []
    const deadline = performance.now() + lockedMs
    let open = await this.#settleCommon(settlements, results)
    for (let pauseMs = 1; open.length > 0; pauseMs = Math.min(2 * pauseMs, 20)) {
      open = await this.#settleOpen(settlements, open, results)
      if (open.length === 0) break
      if (performance.now() > deadline) throw lockedError(open.map((index) => settlements[index]))
      await pause(pauseMs)
    }
    return results
  }

  /** What the records amount to, in the order asked for. */
  async views(ids: readonly string[]): Promise<(RecordView | null)[]> {
    const views: (RecordView | null)[] = []
    for (let start = 0; start < ids.length; start += limits.batchMax) {
      const chunk = ids.slice(start, start + limits.batchMax)
      for (const { index, read, now } of await this.#looks(chunk)) views[start + index] = viewAt(read?.record ?? null, now)
    }
    return views
  }

  /** The records meant, without bodies and steps, in the order of the identities. */
  async *meant(filter: RecordFilter, after: string): AsyncGenerator<Look & { readonly read: Read }> {
    for (let from: string | undefined = after; from !== undefined;) {
      const looks: Look[] = (
        await this.#statements.query(READ_SLICE, [this.#statements.offset, afterValue(from), String(sliceRows)])
      ).map(lookOf)
      for (const look of looks) {
        const { read, now } = look
        const view = viewAt(read?.record ?? null, now)
        if (read !== null && view !== null && isMeant(view, filter, now)) yield { ...look, read }
      }
      from = looks.length < sliceRows ? undefined : looks.at(-1)?.read?.record.id
    }
  }

  /** Removes the records meant, at most `limit`, unless they are running; says how many. */
  async purge(filter: RecordFilter, limit: number): Promise<number> {
    let purged = 0
    let changes: Change[] = []
    const remove = async (): Promise<void> => {
      purged += (await this.#write(changes)).size
      changes = []
    }
    for await (const { read, now } of this.meant(filter, '')) {
      if (viewAt(read.record, now)?.state === 'running') continue
      changes.push({ before: read, after: null, flags: false, now })
      if (purged + changes.length >= limit || changes.length >= sliceRows) await remove()
      if (purged >= limit) break
    }
    await remove()
    return purged
  }

  /** Writes what was decided. Gives the identities of the rows that were as they had been read, and are now changed. */
  async #write(changes: readonly Change[]): Promise<ReadonlySet<unknown>> {
    const written = new Set<unknown>()
    for (const chunk of chunks(changes))
      for (const [id] of await this.#statements.query(WRITE, [...writeValues(chunk), this.#channel])) written.add(id)
    return written
  }

  /** Of at most `limit` rows that are due, removes what has expired; says of how many something was removed. */
  async sweep(limit: number): Promise<number> {
    const [row] = await this.#statements.query(SWEEP, [this.#statements.offset, String(limit)])
    return Number(row?.[1] ?? 0)
  }

  /** Looks at the open claims' operations once, and decides what can be decided. Gives those that stay open. */
  async #claimOpen(claims: readonly Claim[], open: readonly number[], results: ClaimResult[]): Promise<number[]> {
    const groups = byId(claims, open)
    const heads = groups.map(({ first }) => first)
    const changes = new Map<string, { readonly change: Change; readonly indexes: readonly number[] }>()
    const undecided: number[] = []
    for (const { look, group } of pairs(await this.#claimLooks(heads), groups)) {
      const { read, now, added } = look
      if (read === null) {
        if (added) results[group.indexes[0] ?? 0] = decideClaim(null, group.first, now).result
        undecided.push(...group.indexes.slice(added ? 1 : 0))
        continue
      }
      const decided = decideInOrder(read.record, group.indexes, (record, index) => {
        const { result, record: after } = decideClaim(record, claims[index] ?? group.first, now)
        results[index] = result
        return after
      })
      // Somebody will wait for it: its end notifies.
      const isAwaited = decided?.state === 'running' && group.indexes.some((index) => results[index]?.state === 'busy')
      const change: Change = { before: read, after: decided, flags: isAwaited && !read.watched, now }
      if (decided !== read.record || change.flags) changes.set(read.record.id, { change, indexes: group.indexes })
    }
    const written = await this.#write([...changes.values()].map(({ change }) => change))
    for (const [id, { indexes }] of changes) if (!written.has(id)) undecided.push(...indexes)
    return undecided.toSorted((a, b) => a - b)
  }

  /** Each transaction takes at most its share of the server's locks: those of the application share the rest. */
  async #claimLooks(heads: readonly Claim[]): Promise<Look[]> {
    const looks: Look[] = []
    for (let start = 0; start < heads.length; start += this.#locksMax) {
      const chunk = heads.slice(start, start + this.#locksMax)
      const [only] = chunk
      if (chunk.length === 1 && only !== undefined) {
        looks.push({ ...(await this.#claimLook(only)), index: start })
        continue
      }
      const rows = await this.#statements.query(CLAIM, [this.#statements.offset, ...claimValues(chunk, this.#salt)])
      looks.push(...rows.map(lookOf).map((look) => ({ ...look, index: look.index + start })))
    }
    return looks
  }

  async #claimLook(claim: Claim): Promise<Look> {
    const [added] = await this.#statements.query(CLAIM_ONE, [this.#statements.offset, ...claimRow(claim, this.#salt)])
    if (added !== undefined) return { now: Number(added[0]), index: 0, added: true, read: null }
    const [look] = await this.#looks([claim.id])
    if (look === undefined) throw new Error('READ gives a row for each identity')
    return look
  }

  /** Does the settlements that need no look. Gives those that do. */
  async #settleCommon(settlements: readonly Settlement[], results: SettleResult[]): Promise<number[]> {
    const groups = byId(settlements, [...settlements.keys()])
    const common = groups.flatMap(({ first, indexes }) => (indexes.length === 1 && isCommon(first) ? [first] : []))
    const settled = new Set<unknown>()
    for (const chunk of chunks(common)) {
      const [only] = chunk
      const rows =
        chunk.length === 1 && only?.kind === 'complete'
          ? await this.#statements.query(COMPLETE_ONE, [this.#statements.offset, ...completeValues(only), this.#channel])
          : await this.#statements.query(SETTLE, [this.#statements.offset, ...settleValues(chunk), this.#channel])
      for (const [id] of rows) settled.add(id)
    }
    const open: number[] = []
    for (const [index, { id }] of settlements.entries())
      if (settled.has(id)) results[index] = 'ok'
      else open.push(index)
    return open
  }

  /** Reads the open settlements' records, and lets the table decide. Gives those whose row was locked or changed meanwhile. */
  async #settleOpen(settlements: readonly Settlement[], open: readonly number[], results: SettleResult[]): Promise<number[]> {
    const groups = byId(settlements, open)
    const changes: Change[] = []
    const indexesOf = new Map<string, readonly number[]>()
    for (const { look, group } of pairs(await this.#looks(groups.map(({ first }) => first.id)), groups)) {
      const { read, now } = look
      const after = decideInOrder(read?.record ?? null, group.indexes, (record, index) => {
        const decision = decideSettlement(record, settlements[index] ?? group.first, now)
        results[index] = decision.result
        return decision.record
      })
      if (read === null || after === read.record) continue
      changes.push({ before: read, after, flags: false, now })
      indexesOf.set(read.record.id, group.indexes)
    }
    const written = await this.#write(changes)
    return [...indexesOf].flatMap(([id, indexes]) => (written.has(id) ? [] : indexes)).toSorted((a, b) => a - b)
  }

  async #looks(ids: readonly string[]): Promise<Look[]> {
    if (ids.length === 0) return []
    return (await this.#statements.query(READ, [this.#statements.offset, idValues(ids)])).map(lookOf)
  }
}

/** Items of one operation, in their order. */
interface Group<Item> {
  readonly first: Item
  readonly indexes: number[]
}

/** Sorted by operation, as every batch is. */
function byId<Item extends { readonly id: string }>(items: readonly Item[], indexes: readonly number[]): Group<Item>[] {
  const groups = new Map<string, Group<Item>>()
  for (const index of indexes) {
    const item = items[index]
    if (item === undefined) continue
    const group = groups.get(item.id)
    if (group === undefined) groups.set(item.id, { first: item, indexes: [index] })
    else group.indexes.push(index)
  }
  if (groups.size === 1) return [...groups.values()]
  return [...groups.values()].toSorted((a, b) => (a.first.id < b.first.id ? -1 : 1))
}

function pairs<Item>(looks: readonly Look[], groups: readonly Group<Item>[]): { look: Look; group: Group<Item> }[] {
  return looks.flatMap((look) => {
    const group = groups[look.index]
    return group === undefined ? [] : [{ look, group }]
  })
}

/** What a record becomes when several things happen to it in one batch. */
function decideInOrder(
  before: OperationRecord | null,
  indexes: readonly number[],
  decide: (record: OperationRecord | null, index: number) => OperationRecord | null,
): OperationRecord | null {
  let record = before
  for (const index of indexes) record = decide(record, index)
  return record
}

function isCommon(settlement: Settlement): settlement is Common {
  return settlement.kind === 'complete' || settlement.kind === 'renew'
}

/** As many as one statement takes, by number and by the bytes of their outcomes. */
function* chunks<Item extends Common | Change>(items: readonly Item[]): Generator<readonly Item[]> {
  let chunk: Item[] = []
  let bytes = 0
  for (const item of items) {
    bytes += bytesOf(item)
    if (chunk.length > 0 && (chunk.length >= sliceRows || bytes > chunkBytes)) {
      yield chunk
      chunk = []
      bytes = bytesOf(item)
    }
    chunk.push(item)
  }
  if (chunk.length > 0) yield chunk
}

function bytesOf(item: Common | Change): number {
  if ('kind' in item) return item.kind === 'complete' ? item.outcome.body.length : 0
  const { after } = item
  if (after === null) return 0
  return (after.outcome?.body.length ?? 0) + after.steps.reduce((sum, { result }) => sum + result.body.length, 0)
}

/**
 * Renewals of one locked row must not cost the others their leases: the engine then sends the batch in parts, and finds that one. A
 * renewal that is made twice does no harm.
 */
function lockedError(settlements: readonly (Settlement | undefined)[]): Error {
  const message = `${settlements.length} operations are locked by a transaction for more than ${lockedMs} ms; the call may be made again`
  return settlements.every((each) => each?.kind === 'renew') ? new StoreDataError(message) : new Error(message)
}

function checkIds(items: readonly { readonly id: string }[]): void {
  idValues(items.map(({ id }) => id))
}
