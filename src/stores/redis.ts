import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { durationMs, type Duration } from '../core/duration.ts'
import { ClosedError, OptionsError, StoreDataError, StoreOpenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { isMeant } from '../core/view.ts'
import type { Guarantee, RecordFilter, RecordPage, RecordView, Store } from '../core/store.ts'
import type { Claim, ClaimResult, Settlement, SettleResult } from '../core/transitions.ts'
import { linkOf, type Link, type RedisClient, type RedisWord } from './redis-clients.ts'
import { openRecords, refusalOf } from './redis-opening.ts'
import { claimOf, claimWords, packed, purgeWords, settlementWords, viewOf } from './redis-records.ts'
import { RECORDS } from './redis-scripts.ts'
import { Watchers } from './redis-watchers.ts'

export type { IoredisClient, IoredisSubscriber, NodeRedisClient, NodeRedisCluster } from './redis-clients.ts'
export type { NodeRedisSubscriber, RedisClient, RedisWord } from './redis-clients.ts'

/** Options of the Redis store. */
export interface RedisOptions {
  /** What the keys begin with: letters, digits and `_ . : -`, at most 40. Applications that share a server need one each. @default 'onceward' */
  readonly prefix?: string
  /** How long `open` waits for the server. @default '3s' */
  readonly openTimeout?: Duration
  /** Added to the clock by which leases and expiry are judged: for tests. Milliseconds. @default () => 0 */
  readonly clockOffsetMs?: () => number
}

/**
 * Remembers operations in Redis, or in what speaks its protocol and runs its scripts.
 * @param client ioredis' `Redis` or `Cluster`, or what `createClient` or `createCluster` of the package `redis` returned. It stays yours: connect
 * it before (ioredis does so by itself), close it after
 * @throws OptionsError
 */
export function redis(client: RedisClient, options: RedisOptions = {}): Store {
  return new RedisStore(linkOf(client), options)
}

/** One item of a batch: the record's identity and what the script is told of it. */
interface Item {
  readonly id: string
  readonly words: readonly RedisWord[]
}

/** Keys asked for in one SCAN, and records looked at in one call of a listing or a purge: the calls of others go in between. */
const sliceKeys = 100

/** Identities that a listing keeps in memory at most, twice over; where more are wanted it looks at the keys again. */
const sortedMax = 10_000

const digest = createHash('sha1').update(RECORDS).digest('hex')

/** One script decides each batch: all of it in one round trip, or on a cluster one for each operation, since each has a slot of its own. */
class RedisStore implements Store {
  readonly name = 'redis'
  readonly synchronous = false
  guarantee: Guarantee = { tier: 'best-effort', reason: 'the server has not been asked' }
  readonly #link: Link
  readonly #prefix: string
  readonly #channel: string
  readonly #openTimeoutMs: number
  readonly #clockOffsetMs: () => number
  readonly #pending = new Set<Promise<unknown>>()
  readonly #watchers: Watchers
  #opening: Promise<void> | undefined
  #isOpen = false
  #stopListening: () => void = () => undefined
  #isClosed = false
  /** Where the next sweep goes on: identities not looked at yet, and the node and cursor behind them. */
  #sweeping: { ids: string[]; node: number; cursor: string } = { ids: [], node: 0, cursor: '0' }

  constructor(link: Link, { prefix = 'onceward', openTimeout = '3s', clockOffsetMs = () => 0 }: RedisOptions) {
    if (typeof prefix !== 'string' || !/^[\w.:-]{1,40}$/.test(prefix))
      throw new OptionsError(`prefix is ${JSON.stringify(prefix)}: give letters, digits and '_ . : -', at most 40`)
    this.#link = link
    this.#prefix = prefix
    this.#channel = `${prefix}:changes`
    this.#openTimeoutMs = durationMs('openTimeout', openTimeout, { min: 1 })
    this.#clockOffsetMs = clockOffsetMs
    this.#watchers = new Watchers(link, this.#channel)
  }

  async open(): Promise<void> {
    if (this.#isClosed) throw new ClosedError()
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    this.#checkOpen()
    const items = claims.map((claim) => ({ id: claim.id, words: claimWords(claim) }))
    const replies = await this.#decided(items)
    return claims.map((claim, index) => claimOf(claim, replies[index]))
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    this.#checkOpen()
    const items = settlements.map((settlement) => ({ id: settlement.id, words: settlementWords(settlement) }))
    return (await this.#decided(items)).map((result) => (result === 1 ? 'ok' : 'stale'))
  }

  async watch(ids: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#checkOpen()
    return this.#watchers.watch(
      ids.map((id) => this.#key(id)),
      signal,
    )
  }

  async find(ids: readonly string[]): Promise<readonly (RecordView | null)[]> {
    this.#checkOpen()
    return (await this.#look(ids, true)).map(({ view }) => view)
  }

  async list(filter: RecordFilter, limit: number, after = ''): Promise<RecordPage> {
    this.#checkOpen()
    return this.#tracked(async () => {
      const found: RecordView[] = []
      let from: string | null = after
      // One more than asked for tells whether there is a next page.
      while (from !== null && found.length <= limit) {
        const { ids, next } = await this.#smallest(from)
        for (const slice of slicesOf(ids)) {
          if (found.length > limit) break
          found.push(...(await this.#meant(slice, filter)))
        }
        from = next
      }
      const records = found.slice(0, limit)
      return { records, next: found.length > limit ? (records.at(-1)?.record.id ?? null) : null }
    })
  }

  async purge(filter: RecordFilter, limit: number): Promise<number> {
    this.#checkOpen()
    return this.#tracked(async () => {
      let purged = 0
      for await (const ids of this.#scanned()) {
        for (const slice of slicesOf(ids)) purged += await this.#purged(slice, filter, limit - purged)
        if (purged >= limit) break
      }
      return purged
    })
  }

  async sweep(limit: number): Promise<number> {
    this.#checkOpen()
    return this.#tracked(async () => {
      const ids = await this.#nextToSweep(limit)
      const results = await this.#decided(ids.map((id) => ({ id, words: ['sweep'] })))
      return results.filter((result) => result === 1).length
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#opening?.catch(() => undefined)
    // A server that does not answer must not keep the process: what the calls were told is theirs.
    const giveUp = new AbortController()
    const late = pause(limits.storeTimeoutMs, undefined, { signal: giveUp.signal }).catch(() => undefined)
    await Promise.race([late, Promise.allSettled(this.#pending)])
    giveUp.abort()
    this.#watchers.close()
    this.#stopListening()
  }

  async #open(): Promise<void> {
    if (this.#isOpen) return
    this.#stopListening()
    let lastError: Error | undefined
    this.#stopListening = this.#link.onError((error) => (lastError = error))
    this.guarantee = await openRecords({
      link: this.#link,
      prefix: this.#prefix,
      timeoutMs: this.#openTimeoutMs,
      lastError: () => lastError,
    })
    await this.#watchers.open()
    this.#isOpen = true
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new ClosedError()
    if (!this.#isOpen) throw new StoreOpenError('the Redis store is not open; nothing was done: call open() first')
  }

  #key(id: string): string {
    return `${this.#prefix}:{${id}}`
  }

  #idOf(key: string): string | undefined {
    return /\{([0-9a-f]{64})\}$/.exec(key)?.[1]
  }

  /** Until it has settled, `close` waits for it. */
  async #tracked<Result>(call: () => Promise<Result>): Promise<Result> {
    const made = call()
    this.#pending.add(made)
    try {
      return await made
    } finally {
      this.#pending.delete(made)
    }
  }

  async #decided(items: readonly Item[]): Promise<readonly unknown[]> {
    if (items.length === 0) return []
    for (const { id } of items) checkId(id)
    const notReady = this.#link.notReady()
    if (notReady !== undefined) throw new Error(`Redis cannot be asked: ${notReady}`)
    return this.#tracked(async () => (this.#link.isCluster ? this.#each(items) : this.#batch(items, true)))
  }

  /** Operations have a slot each: a call for each, those of one operation in their order. All are answered before any error is told. */
  async #each(items: readonly Item[]): Promise<readonly unknown[]> {
    const groups = [...Map.groupBy(items.keys(), (index) => items[index]?.id ?? '').values()]
    const calls = groups.map(async (group) =>
      this.#batch(
        group.flatMap((index) => items[index] ?? []),
        groups.length === 1,
      ),
    )
    const answers = await Promise.allSettled(calls)
    const results: unknown[] = []
    for (const [number, answer] of answers.entries()) {
      if (answer.status === 'rejected') throw answer.reason
      for (const [place, index] of (groups[number] ?? []).entries()) results[index] = answer.value[place]
    }
    return results
  }

  /** @param isWhole whether this is all of the caller's batch, so that a refusal means that nothing was applied */
  async #batch(items: readonly Item[], isWhole: boolean): Promise<readonly unknown[]> {
    const keys = items.map(({ id }) => this.#key(id))
    const told = [String(this.#clockOffsetMs()), this.#channel, packed(items.map((item) => item.words))]
    const words: RedisWord[] = [digest, String(keys.length), ...keys, ...told]
    try {
      return (await this.#script(keys[0] ?? '', words)) as readonly unknown[]
    } catch (error) {
      const isClaims = items.every(({ words: [kind] }) => kind === 'claim')
      throw refusalOf(error, { isWhole, isClaims }) ?? error
    }
  }

  /** A server that was restarted has forgotten the script. */
  async #script(key: string, words: RedisWord[]): Promise<unknown> {
    try {
      return await this.#link.send(key, ['EVALSHA', ...words])
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return this.#link.send(key, ['EVAL', RECORDS, ...words.slice(1)])
    }
  }

  async #look(ids: readonly string[], bodies: boolean): Promise<readonly { now: number; view: RecordView | null }[]> {
    const results = await this.#decided(ids.map((id) => ({ id, words: ['look', bodies ? '1' : '0'] })))
    return results.map((result, index) => viewOf(ids[index] ?? '', result))
  }

  /** Of these records those that are meant, whole. */
  async #meant(ids: readonly string[], filter: RecordFilter): Promise<readonly RecordView[]> {
    const meant = (await this.#look(ids, false)).flatMap(({ view, now }) =>
      view !== null && isMeant(view, filter, now) ? [view] : [],
    )
    const whole = await this.#look(
      meant.map(({ record }) => record.id),
      true,
    )
    // What changed in between is judged again.
    return whole.flatMap(({ view, now }) => (view !== null && isMeant(view, filter, now) ? [view] : []))
  }

  async #purged(ids: readonly string[], filter: RecordFilter, limit: number): Promise<number> {
    const views = (await this.#look(ids, false)).flatMap(({ view, now }) =>
      view !== null && isMeant(view, filter, now) ? [view] : [],
    )
    const removed = views.filter(({ state }) => state !== 'running').slice(0, limit)
    const results = await this.#decided(removed.map(({ record }) => ({ id: record.id, words: purgeWords(record) })))
    return results.filter((result) => result === 1).length
  }

  /** The identities there are, node by node as they come, in no order; none twice in one slice. */
  async *#scanned(): AsyncGenerator<readonly string[]> {
    const nodes = (await this.#link.masters()).length
    for (let node = 0; node < nodes; node += 1)
      for (let cursor = ''; cursor !== '0';) {
        const slice = await this.#scan(node, cursor === '' ? '0' : cursor)
        cursor = slice.cursor
        if (slice.ids.length > 0) yield slice.ids
      }
  }

  async #scan(node: number, from: string): Promise<{ readonly cursor: string; readonly ids: readonly string[] }> {
    const send = (await this.#link.masters())[node]
    if (send === undefined) return { cursor: '0', ids: [] }
    const pattern = `${this.#prefix}:{*}`
    const [cursor, keys] = (await send(['SCAN', from, 'MATCH', pattern, 'COUNT', String(sliceKeys), 'TYPE', 'hash'])) as [
      Buffer,
      Buffer[],
    ]
    return { cursor: String(cursor), ids: [...new Set(keys.flatMap((key) => this.#idOf(String(key)) ?? []))] }
  }

  /** The next identities in their order, and the last of them where there are more: Redis keeps keys in none, and a listing is rare. */
  async #smallest(after: string): Promise<{ readonly ids: readonly string[]; readonly next: string | null }> {
    let ids: string[] = []
    let cut = ''
    const shorten = (): void => {
      ids = [...new Set(ids)].toSorted()
      if (ids.length <= sortedMax) return
      ids = ids.slice(0, sortedMax)
      cut = ids.at(-1) ?? ''
    }
    for await (const slice of this.#scanned()) {
      for (const id of slice) if (id > after && (cut === '' || id < cut)) ids.push(id)
      if (ids.length > 2 * sortedMax) shorten()
    }
    shorten()
    return { ids, next: cut === '' ? null : cut }
  }

  /** Goes round all keys, a slice at a time; at most once in one call. */
  async #nextToSweep(limit: number): Promise<readonly string[]> {
    const nodes = (await this.#link.masters()).length
    for (let ended = 0; this.#sweeping.ids.length < limit && ended < nodes;) {
      const { node, cursor: from, ids } = this.#sweeping
      const slice = await this.#scan(node % nodes, from)
      const isEnd = slice.cursor === '0'
      this.#sweeping = { ids: [...ids, ...slice.ids], node: isEnd ? (node + 1) % nodes : node, cursor: slice.cursor }
      if (isEnd) ended += 1
    }
    return this.#sweeping.ids.splice(0, limit)
  }
}

function slicesOf(ids: readonly string[]): readonly (readonly string[])[] {
  const slices: (readonly string[])[] = []
  for (let from = 0; from < ids.length; from += sliceKeys) slices.push(ids.slice(from, from + sliceKeys))
  return slices
}

/** Other text in the key could be another operation's, or move it to another slot. */
function checkId(id: string): void {
  if (!/^[0-9a-f]{64}$/.test(id)) throw new StoreDataError(`'${id}' is no identity: give 64 hexadecimal digits`)
}
