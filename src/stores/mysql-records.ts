import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { stateAt, type OperationRecord } from '../core/record.ts'
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
  errorNumber,
  errorNumbers,
  isConflict,
  repeated,
  type MysqlSession,
  type MysqlValue,
  type SimpleValue,
} from './mysql-connection.ts'
import { inLayers, parted, type Answer, type Place } from './mysql-layers.ts'
import {
  changeBytes,
  changedValues,
  completionBytes,
  filterValues,
  firstValues,
  foundOf,
  idBytes,
  idOf,
  resultValues,
  statementBytes,
  sweepAt,
  tooLarge,
  type Change,
  type Found,
} from './mysql-rows.ts'
import {
  INSERT_RECORD,
  INSERT_RECORDS,
  INSERTED_ROW,
  COMPLETE_RECORD,
  COMPLETE_RECORDS,
  RENEW_RECORDS,
  FENCE_ROW,
  SELECT_RECORDS,
  SLICE_END,
  SELECT_SLICE,
  SELECT_DUE,
  SELECT_UNLOCKED,
  DIRTY_READ,
  SELECT_IDS,
  SELECT_REVISION,
  UPDATE_RECORDS,
  UPDATED_ROW,
  DELETE_RECORDS,
  MAKE_TOMBSTONES,
  SWEEP_LATER,
  REVISION_ROW,
} from './mysql-statements.ts'

/** Tries of a claim against others' claims of the same operations; after them it is busy, and asked again. */
const claimRoundsMax = 6
/** Tries of a settlement against a lock, with pauses that double from one millisecond: 63 ms in all. The engine asks again. */
const settleRoundsMax = 7
/** How old a decision may be when it is written. Milliseconds. */
const decisionMsMax = 5_000
/** Bytes of a statement with many records at the most: beyond them another one is made. */
const chunkBytesMax = 4_194_304
/** Rows looked at in one statement of a listing or a purge. */
const sliceRows = 2_000

/** A call, the change it makes, and what it is answered if that is written. */
interface Pending<Item, Result> extends Change {
  readonly place: Place<Item>
  readonly result: Result
}

/** What one slice of a long call found or did. */
export interface Slice<Result> {
  readonly result: Result
  /** The identity after which it goes on; null at the end. */
  readonly next: string | null
}

/** Which records are meant: at most `limit` of those behind the identity `after`. */
export interface Wanted {
  readonly filter: RecordFilter
  readonly after: string
  readonly limit: number
}

/**
 * The records, in statements that each commit by themselves: no transaction spans two of them, so that a process that stops, or a
 * connection that is cut, leaves no lock behind and nothing half done. The tables decide here, on what was read; a decision is written only
 * if its record has not changed since. Statements do not wait for a lock.
 */
export class MysqlRecords {
  readonly #session: MysqlSession
  readonly #packetBytesMax: number
  /** MySQL cannot say it for one statement: there the connection was told once. */
  readonly #withoutWaiting: string

  constructor(
    session: MysqlSession,
    { isMariadb, packetBytesMax }: { readonly isMariadb: boolean; readonly packetBytesMax: number },
  ) {
    this.#session = session
    this.#packetBytesMax = packetBytesMax
    this.#withoutWaiting = isMariadb ? 'SET STATEMENT innodb_lock_wait_timeout = 0 FOR ' : ''
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    return inLayers(claims, (layer, answer) => this.#claimLayer(layer, answer))
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    return inLayers(settlements, (layer, answer) => this.#settleLayer(layer, answer))
  }

  async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    const found = await this.#read(ids, 'with bodies')
    return ids.map((id) => {
      const each = found.get(id)
      return each === undefined ? null : viewAt(each.record, each.now)
    })
  }

  async list({ filter, after, limit }: Wanted): Promise<Slice<readonly RecordView[]>> {
    const { result, next } = await this.#slice(filter, after)
    const ids = result.slice(0, limit).map(({ record }) => record.id)
    const found = await this.#read(ids, 'with bodies')
    const views = ids.map((id) => found.get(id)).flatMap((each) => (each === undefined ? [] : (meantView(each, filter) ?? [])))
    // Where the limit cut the slice, the next one begins behind what was looked at.
    return { result: views, next: ids.length < result.length ? (ids.at(-1) ?? next) : next }
  }

  async purge({ filter, after, limit }: Wanted): Promise<Slice<number>> {
    const { result, next } = await this.#slice(filter, after)
    const meant = result.filter(({ record, now }) => viewAt(record, now)?.state !== 'running').slice(0, limit)
    return { result: await this.#changeMany(meant, DELETE_RECORDS, []), next }
  }

  /** Looks at those records, at most `limit`, that are due first, and says of how many something was removed. */
  async sweep(limit: number): Promise<number> {
    const due = (await this.#session.rows(SELECT_DUE, [limit])).map(foundOf)
    const stateOf = ({ record, now }: Found): string => stateAt(record, now)
    const [absent, others] = parted(due, (each) => stateOf(each) === 'absent')
    const [expired, later] = parted(others, (each) => stateOf(each) === 'expired' && each.record.state === 'completed')
    const removed = await this.#changeMany(absent, DELETE_RECORDS, [])
    const emptied = await this.#changeMany(expired, MAKE_TOMBSTONES, ['tombstone', randomBytes(8)])
    await this.#changeMany(later, SWEEP_LATER, [randomBytes(8)])
    return removed + emptied
  }

  /**
   * Different operations. They are inserted; where some are there already those are read and decided, and the others inserted again. A
   * row that an open transaction holds is found out, is busy, and is left out from then on.
   */
  async #claimLayer(layer: readonly Place<Claim>[], answer: Answer<Claim, ClaimResult>): Promise<void> {
    let fresh = layer
    let open: readonly Place<Claim>[] = []
    for (let round = 0; round < claimRoundsMax; round += 1) {
      const clash = await this.#insert(fresh)
      if (clash === null)
        for (const place of fresh) answer(place, { state: 'claimed', attempt: 1, generation: place.item.owner, steps: [] })
      else open = [...open, ...fresh]
      if (open.length === 0) return
      const found = await this.#read(idsOf(open), 'with bodies')
      const [known, unknown] = parted(open, ({ item }) => found.has(item.id))
      open = await this.#decided(known, { found, decide: decideClaim, answer })
      fresh = clash === 'locked' ? await this.#unclaimed(unknown, answer) : unknown
    }
    for (const place of [...open, ...fresh]) answer(place, locked)
  }

  /** Null when all are inserted. Else those that were are found like others, with their own owner. */
  async #insert(places: readonly Place<Claim>[]): Promise<'duplicate' | 'locked' | null> {
    const revision = randomBytes(8)
    try {
      const [lone] = places
      if (lone !== undefined && places.length === 1) await this.#writeOne(INSERT_RECORD, firstOf(lone.item, revision))
      else
        for (const chunk of this.#chunks(places, () => statementBytes))
          await this.#write(INSERT_RECORDS, [
            repeated(
              INSERTED_ROW,
              chunk.map(({ item }) => firstOf(item, revision)),
            ),
          ])
      return null
    } catch (error) {
      if (errorNumber(error) === errorNumbers.duplicate) return 'duplicate'
      if (isConflict(error)) return 'locked'
      throw error
    }
  }

  /** Of operations without a committed record those that nobody is inserting; the others are busy. */
  async #unclaimed(places: readonly Place<Claim>[], answer: Answer<Claim, ClaimResult>): Promise<readonly Place<Claim>[]> {
    if (places.length === 0) return places
    await this.#session.changes(DIRTY_READ)
    const there = new Set((await this.#session.rows(SELECT_IDS, [idValues(idsOf(places)), places.length])).map(idOf))
    const [busy, free] = parted(places, ({ item }) => there.has(item.id))
    for (const place of busy) answer(place, locked)
    return free
  }

  /** Different operations: completions and renewals together, each kind in one statement; what that leaves is read and decided. */
  async #settleLayer(layer: readonly Place<Settlement>[], answer: Answer<Settlement, SettleResult>): Promise<void> {
    const completions = layer.filter(isCompletion)
    const renewals = layer.filter(isRenewal)
    let open: readonly Place<Settlement>[] = layer.filter((place) => !isCompletion(place) && !isRenewal(place))
    for (const chunk of this.#chunks(completions, ({ item }) => completionBytes(item)))
      if (await this.#complete(chunk)) for (const place of chunk) answer(place, 'ok')
      else open = [...open, ...chunk]
    if (await this.#renew(renewals)) for (const place of renewals) answer(place, 'ok')
    else open = [...open, ...renewals]
    for (let round = 0; open.length > 0 && round < settleRoundsMax; round += 1) {
      if (round > 0) await pause(2 ** (round - 1))
      const found = await this.#read(idsOf(open), 'without bodies')
      const [known, unknown] = parted(open, ({ item }) => found.has(item.id))
      for (const place of unknown) answer(place, decideSettlement(null, place.item, 0).result)
      open = await this.#decided(known, { found, decide: decideSettlement, answer })
    }
    await this.#giveUp(open, answer)
  }

  /** Whether all were under their fences, and are completed. Those that were are completed in any case. */
  async #complete(places: readonly Place<Completion>[]): Promise<boolean> {
    const [lone] = places
    if (lone !== undefined && places.length === 1) return this.#completeOne(lone.item)
    const ids = idValues(idsOf(places))
    const results = places.map(({ item }) => resultValues(item.outcome))
    const column = (index: 0 | 1 | 2): MysqlValue => results.map((values) => values[index])
    const fences = repeated(
      FENCE_ROW,
      places.map(({ item }) => fenceValues(item)),
    )
    const set = ['completed', randomBytes(8), ids, column(0), ids, column(1), ids, column(2)]
    return this.#met(places.length, this.#write(COMPLETE_RECORDS, [...set, ids, fences, 'running']))
  }

  async #completeOne(item: Completion): Promise<boolean> {
    const set = ['completed', randomBytes(8), ...resultValues(item.outcome)]
    return this.#met(1, this.#writeOne(COMPLETE_RECORD, [...set, ...fenceValues(item), 'running']))
  }

  /** The same for renewals. */
  async #renew(places: readonly Place<Renewal>[]): Promise<boolean> {
    const leases = new Set(places.map(({ item }) => item.leaseMs))
    const [leaseMs] = leases
    if (leaseMs === undefined || leases.size > 1) return places.length === 0
    const fences = repeated(
      FENCE_ROW,
      places.map(({ item }) => fenceValues(item)),
    )
    const values = [leaseMs, randomBytes(8), leaseMs, idValues(idsOf(places)), fences, 'running']
    return this.#met(places.length, this.#write(RENEW_RECORDS, values))
  }

  /** Whether a change met as many rows; a lock in the way means that it met none. */
  async #met(count: number, change: Promise<number>): Promise<boolean> {
    try {
      return (await change) === count
    } catch (error) {
      if (isConflict(error)) return false
      throw error
    }
  }

  /**
   * Settlements of rows that others hold locked. A renewal changes nothing then: it is accepted while half of its lease is left, in which
   * the next one is due, and else told that the operation may be lost, which is the safe side, and its own attempt's alone. Of the others
   * nobody can say anything yet: the engine asks again, and is told of those that were settled as it would have been now.
   */
  async #giveUp(open: readonly Place<Settlement>[], answer: Answer<Settlement, SettleResult>): Promise<void> {
    if (open.length === 0) return
    const [renewals, others] = parted(open, isRenewal)
    if (others.length > 0)
      throw new Error(`${others.length} records are locked by others' transactions: end those, or make them shorter`)
    const found = await this.#read(idsOf(renewals), 'without bodies')
    for (const place of renewals) {
      const each = found.get(place.item.id)
      const { result } = decideSettlement(each?.record ?? null, place.item, each?.now ?? 0)
      const leftMs = each === undefined ? 0 : each.record.leaseUntil - each.now
      answer(place, result === 'ok' && isRenewal(place) && leftMs >= place.item.leaseMs / 2 ? 'ok' : 'stale')
    }
  }

  /** Decides on what was found, and writes what that changes; gives back the calls whose change was not written. */
  async #decided<Item extends { readonly id: string }, Result>(
    places: readonly Place<Item>[],
    { found, decide, answer }: Deciding<Item, Result>,
  ): Promise<readonly Place<Item>[]> {
    const pending: Pending<Item, Result>[] = []
    for (const place of places) {
      const each = found.get(place.item.id)
      if (each === undefined) continue
      const { result, record: after } = decide(each.record, place.item, each.now)
      if (after === each.record) answer(place, result)
      else pending.push({ place, found: each, after, result })
    }
    const written = await this.#written(pending)
    for (const each of pending) if (written.has(each)) answer(each.place, each.result)
    return pending.filter((each) => !written.has(each)).map(({ place }) => place)
  }

  /** Writes changes where their records are as they were found, and nobody has them locked; gives those written. */
  async #written<Each extends Change>(changes: readonly Each[]): Promise<ReadonlySet<Each>> {
    const [updates, removals] = parted(changes, ({ after }) => after !== null)
    const written = new Set<Each>()
    for (const each of removals) if ((await this.#changeMany([each.found], DELETE_RECORDS, [])) === 1) written.add(each)
    for (const chunk of this.#chunks(updates, changeBytes)) for (const each of await this.#updated(chunk)) written.add(each)
    return written
  }

  async #updated<Each extends Change>(changes: readonly Each[]): Promise<readonly Each[]> {
    const revision = randomBytes(8)
    const update = async (some: readonly Each[]): Promise<number> => {
      const rows = some.flatMap(({ found, after }) => (after === null ? [] : [changedValues(found, after)]))
      const until = Math.min(...some.map(({ found }) => found.now)) + decisionMsMax
      return this.#write(UPDATE_RECORDS, [repeated(UPDATED_ROW, rows, ' UNION ALL '), revision, until])
    }
    const { made, tried } = await this.#skippingLocked(changes, ({ found }) => found.record.id, update)
    if (made === tried.length) return tried
    const ids = tried.map(({ found }) => found.record.id)
    const own = new Set((await this.#session.rows(SELECT_REVISION, [idValues(ids), revision, ids.length])).map(idOf))
    return tried.filter(({ found }) => own.has(found.record.id))
  }

  /** One change of many records, where they are as they were found; how many were. */
  async #changeMany(found: readonly Found[], sql: string, values: readonly MysqlValue[]): Promise<number> {
    const change = async (some: readonly Found[]): Promise<number> => {
      const rows = some.map(({ record, revision, now }) => [idBytes(record.id), revision, sweepAt(record, now)])
      return this.#write(sql, [repeated(REVISION_ROW, rows, ' UNION ALL '), ...values])
    }
    return (await this.#skippingLocked(found, ({ record }) => record.id, change)).made
  }

  /** Makes a change of all; where one is locked, of those that are not; of none where that has changed again in between. */
  async #skippingLocked<Each>(
    all: readonly Each[],
    id: (each: Each) => string,
    change: (some: readonly Each[]) => Promise<number>,
  ): Promise<{ readonly made: number; readonly tried: readonly Each[] }> {
    let tried = all
    for (let round = 0; round < 2 && tried.length > 0; round += 1) {
      try {
        return { made: await change(tried), tried }
      } catch (error) {
        if (!isConflict(error)) throw error
        const unlocked = new Set((await this.#session.rows(SELECT_UNLOCKED, [idValues(tried.map(id)), tried.length])).map(idOf))
        tried = tried.filter((each) => unlocked.has(id(each)))
      }
    }
    return { made: 0, tried: [] }
  }

  #write(sql: string, values: readonly MysqlValue[]): Promise<number> {
    return this.#session.changes(this.#withoutWaiting + sql, values)
  }

  #writeOne(sql: string, values: readonly SimpleValue[]): Promise<number> {
    return this.#session.change(this.#withoutWaiting + sql, values)
  }

  async #read(ids: readonly string[], bodies: 'with bodies' | 'without bodies'): Promise<ReadonlyMap<string, Found>> {
    if (ids.length === 0) return new Map()
    const rows = await this.#session.rows(SELECT_RECORDS, [Number(bodies === 'with bodies'), idValues(ids), ids.length])
    return new Map(rows.map(foundOf).map((found) => [found.record.id, found]))
  }

  /** Of the next rows in the order of the identities those that are meant, without their steps and outcomes. */
  async #slice(filter: RecordFilter, after: string): Promise<Slice<readonly Found[]>> {
    const start = Buffer.from(after, 'hex')
    const [end] = await this.#session.rows(SLICE_END, [start, sliceRows])
    if (end === undefined || end['id'] === null) return { result: [], next: null }
    const last = idOf(end)
    const rows = await this.#session.rows(SELECT_SLICE, [start, idBytes(last), ...filterValues(filter), sliceRows])
    const meant = rows.map(foundOf).filter((each) => meantView(each, filter) !== null)
    return { result: meant, next: Number(end['looked']) < sliceRows ? null : last }
  }

  /** Groups whose statements are within the server's limit. @throws StoreDataError where one alone is not */
  #chunks<Each>(all: readonly Each[], bytesOf: (each: Each) => number): readonly (readonly Each[])[] {
    const chunks: Each[][] = []
    let room = 0
    for (const each of all) {
      const bytes = bytesOf(each)
      if (bytes > this.#packetBytesMax) throw tooLarge(bytes, this.#packetBytesMax)
      if (bytes > room) {
        chunks.push([])
        room = Math.max(bytes, Math.min(chunkBytesMax, this.#packetBytesMax))
      }
      chunks.at(-1)?.push(each)
      room -= bytes
    }
    return chunks
  }
}

type Completion = Extract<Settlement, { kind: 'complete' }>
type Renewal = Extract<Settlement, { kind: 'renew' }>
/** What was found of the operations of some calls, what decides on it, and who is told. */
interface Deciding<Item, Result> {
  readonly found: ReadonlyMap<string, Found>
  readonly decide: (record: OperationRecord, item: Item, now: number) => { result: Result; record: OperationRecord | null }
  readonly answer: Answer<Item, Result>
}

/** Somebody's transaction holds it: for how long, nobody knows. */
const locked: ClaimResult = { state: 'busy', leaseMs: 0 }

function isCompletion(place: Place<Settlement>): place is Place<Completion> {
  return place.item.kind === 'complete'
}

function isRenewal(place: Place<Settlement>): place is Place<Renewal> {
  return place.item.kind === 'renew'
}

/** What the table says of an operation without a record at the moment 0: its times are counted from when it is written. */
function firstOf(claim: Claim, revision: Uint8Array): readonly SimpleValue[] {
  const { record } = decideClaim(null, claim, 0)
  if (record === null) throw new Error('a first claim leaves a record')
  return firstValues(record, revision)
}

function fenceValues({ id, attempt, owner }: Completion | Renewal): readonly SimpleValue[] {
  return [idBytes(id), attempt, owner]
}

function idsOf(places: readonly Place<{ readonly id: string }>[]): readonly string[] {
  return places.map(({ item }) => item.id)
}

function idValues(ids: readonly string[]): MysqlValue {
  return ids.map(idBytes)
}

function meantView({ record, now }: Found, filter: RecordFilter): RecordView | null {
  const view = viewAt(record, now)
  return view !== null && isMeant(view, filter, now) ? view : null
}
