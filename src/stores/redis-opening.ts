import { setTimeout as pause } from 'node:timers/promises'
import { StoreDataError, StoreFullError, StoreOpenError } from '../core/errors.ts'
import type { Guarantee } from '../core/store.ts'
import type { Link, Send } from './redis-clients.ts'
import { OPEN } from './redis-scripts.ts'

/** The version of the keys' layout, and the least version of this library's layout whose code may read and write it. */
const schemaVersion = 1
const schemaReadableBy = 1

/** What opening needs to know. */
export interface Opening {
  readonly link: Link
  readonly prefix: string
  readonly timeoutMs: number
  /** What the client last said of its connection. */
  readonly lastError: () => Error | undefined
}

/**
 * Makes sure that the server answers, that this user may do what the store does, and that the keys are Onceward's; finds out what is guaranteed.
 * @throws StoreOpenError that names the remedy
 */
export async function openRecords(opening: Opening): Promise<Guarantee> {
  try {
    return await inTime(opening, async () => {
      const { link, prefix } = opening
      const keys = [`${prefix}:{schema}`, `${prefix}:{schema}:probe`]
      const versions = [String(schemaVersion), String(schemaReadableBy)]
      const found = await link.send(keys[0] ?? '', ['EVAL', OPEN, '2', ...keys, ...versions])
      checkVersion(prefix, found as (Buffer | null)[])
      const masters = await link.masters()
      for (const send of masters) await send(['SCAN', '0', 'MATCH', `${prefix}:{schema}`, 'COUNT', '1', 'TYPE', 'hash'])
      return link.isCluster ? clustered(masters.length) : await guaranteeOf(masters[0])
    })
  } catch (error) {
    throw openError(opening, error)
  }
}

function clustered(masters: number): Guarantee {
  return {
    tier: 'best-effort',
    reason: `a cluster of ${masters} masters: replication is asynchronous, so that a failover can lose what was acknowledged`,
  }
}

/** A client that has no connection queues commands, and one that got no answer waits for it: neither may keep the caller. */
async function inTime<Result>({ link, timeoutMs, lastError }: Opening, open: () => Promise<Result>): Promise<Result> {
  const giveUp = new AbortController()
  const late = async (): Promise<never> => {
    await pause(timeoutMs, undefined, { signal: giveUp.signal })
    throw lastError() ?? new Error(link.notReady() ?? `no answer within ${timeoutMs} ms`)
  }
  const opened = open()
  const lateness = late()
  // Whichever loses the race is nobody's.
  for (const each of [opened, lateness]) each.catch(() => undefined)
  try {
    return await Promise.race([opened, lateness])
  } finally {
    giveUp.abort()
  }
}

function checkVersion(prefix: string, [version, readableBy]: readonly (Buffer | null)[]): void {
  if (!/^\d+$/.test(String(version)) || !/^\d+$/.test(String(readableBy)))
    throw new StoreOpenError(`the key '${prefix}:{schema}' is not Onceward's: give another prefix`)
  if (Number(readableBy) > schemaVersion)
    throw new StoreOpenError(
      `its keys were written by a newer version of Onceward (schema ${String(version)}, this one knows ${schemaVersion}): upgrade onceward`,
    )
}

/** What errors of the server begin with, or of the connection have as their code, and what to do. */
const remedies: readonly (readonly [RegExp, string])[] = [
  [/WRONGPASS|NOAUTH|invalid password|AUTH failed/i, "give the client the server's user name and password"],
  [
    /NOPERM|no permissions|can't run this command or subcommand/i,
    'let this user run EVAL, EVALSHA, SCAN, TIME, HSET, HGET, HMGET, HDEL, PEXPIREAT, PERSIST, UNLINK and PUBLISH on keys that begin with the prefix, ' +
      'as ACL SETUSER … ~onceward:* &onceward:* +@scripting +@keyspace +@hash +publish +subscribe +time does',
  ],
  [/WRONGTYPE/, 'the key that holds the schema is something else: give another prefix'],
  [/READONLY/, 'it is a replica: connect to its master, or through Sentinel'],
  [/OOM/, 'its memory is full: raise maxmemory'],
  [/MISCONF|NOREPLICAS|CLUSTERDOWN|LOADING|MASTERDOWN/, 'wait until the server takes writes, or look at its log'],
  [/unknown command/i, 'the server lacks a command: Redis 6.2 or newer is needed'],
  [/connect\(\) first|is closed|ClientClosed/i, 'call the connect() of the client first'],
  [
    /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ECONNRESET|ENOENT|not connected|no answer|Socket|slots cache|Connection/i,
    "check that the server runs, and the client's host and port",
  ],
]

function openError({ prefix }: Opening, error: unknown): StoreOpenError {
  const message = messageOf(error)
  if (error instanceof StoreOpenError) return new StoreOpenError(`Redis cannot be used with the prefix '${prefix}': ${message}`)
  const remedy =
    remedies.find(([pattern]) => pattern.test(message))?.[1] ?? "look at the server's log, and try the same client with PING"
  return new StoreOpenError(`Redis cannot be opened (${message}): ${remedy}`, { cause: error })
}

/** A cluster's error says little: that of the node that was asked last says why. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const inner: unknown =
    'lastNodeError' in error ? error.lastNodeError : error instanceof AggregateError ? error.errors[0] : undefined
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const said = error.message === '' ? code : error.message
  return inner === undefined ? said : `${said} ${messageOf(inner)}`
}

/** What was refused: whether it is all of the caller's batch, and claims alone. */
export interface Refused {
  readonly isWhole: boolean
  readonly isClaims: boolean
}

/** What a server's refusal of a batch is to the engine; undefined for what leaves open whether it was applied. */
export function refusalOf(error: unknown, { isWhole, isClaims }: Refused): Error | undefined {
  if (!(error instanceof Error)) return undefined
  if (/\bWRONGTYPE\b/.test(error.message)) {
    const message = `a key of an operation holds something that is not Onceward's (${error.message}): give another prefix`
    return isWhole ? new StoreDataError(message, { cause: error }) : new Error(message, { cause: error })
  }
  // A settlement must be asked again: its handler has run, and its outcome is written as soon as there is room.
  if (isWhole && isClaims && /\bOOM\b/.test(error.message))
    return new StoreFullError(
      `Redis has no memory for a new record (${error.message}); nothing was claimed: raise maxmemory, or shorten ttl`,
      { cause: error },
    )
  return undefined
}

/** From the settings in force, which may be kept from this user: managed servers have no CONFIG. */
async function guaranteeOf(send: Send | undefined): Promise<Guarantee> {
  if (send === undefined) return { tier: 'best-effort', reason: 'no server was found to ask' }
  try {
    return judged(await settingsOf(send))
  } catch (error) {
    return {
      tier: 'best-effort',
      reason: `CONFIG and INFO may not be read here (${messageOf(error)}), so that what survives a crash is not known`,
    }
  }
}

interface Settings {
  readonly [name: string]: string
}

const asked = ['appendonly', 'appendfsync', 'no-appendfsync-on-rewrite', 'maxmemory-policy'] as const

async function settingsOf(send: Send): Promise<Settings> {
  const settings: Record<string, string> = {}
  for (const name of asked) settings[name] = pairsOf(await send(['CONFIG', 'GET', name]))[name] ?? 'unknown'
  for (const line of String(await send(['INFO', 'replication'])).split('\r\n')) {
    const [name = '', value = ''] = line.split(':')
    settings[name] = value
  }
  return settings
}

/** A reply of pairs is a list, or under the newer protocol what the client makes of a map. */
function pairsOf(reply: unknown): Settings {
  if (reply instanceof Map) return Object.fromEntries([...reply].map(([name, value]) => [String(name), String(value)]))
  if (!Array.isArray(reply)) return Object.fromEntries(Object.entries(reply ?? {}).map(([name, value]) => [name, String(value)]))
  const words = reply.map(String)
  return Object.fromEntries(words.flatMap((name, index) => (index % 2 === 0 ? [[name, words[index + 1] ?? '']] : [])))
}

function judged(settings: Settings): Guarantee {
  const weak: string[] = []
  if (settings['maxmemory-policy'] !== 'noeviction')
    weak.push(`maxmemory-policy=${settings['maxmemory-policy']}: records vanish when the memory is full`)
  if (settings['appendonly'] !== 'yes') weak.push(`appendonly=${settings['appendonly']}: a crash of the server loses records`)
  else if (settings['appendfsync'] !== 'always')
    weak.push(`appendfsync=${settings['appendfsync']}: a crash can lose what was acknowledged last`)
  else if (settings['no-appendfsync-on-rewrite'] !== 'no')
    weak.push('no-appendfsync-on-rewrite=yes: a crash while the log is rewritten can lose what was acknowledged')
  if (settings['connected_slaves'] !== '0' || settings['role'] !== 'master')
    weak.push(
      `${settings['connected_slaves'] ?? 'unknown'} replicas: replication is asynchronous, so that a failover can lose what was acknowledged`,
    )
  if (weak.length > 0) return { tier: 'best-effort', reason: weak.join('; ') }
  return {
    tier: 'fenced',
    reason:
      'appendonly=yes, appendfsync=always, maxmemory-policy=noeviction, no replicas: a record is on the disk before it is acknowledged',
  }
}
