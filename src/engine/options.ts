import { durationMs, type Duration } from '../core/duration.ts'
import { limits } from '../core/limits.ts'
import { OptionsError } from '../core/errors.ts'
import type { InterruptedPolicy, InterruptedRule, Policy } from '../core/policy.ts'
import type { OncewardListener } from './events.ts'
import type { OperationOptions } from './once.ts'
import type { Platform } from './platform.ts'
import type { AtomicStore, Store } from '../core/store.ts'
import type { Bridge } from '../core/bridge.ts'

/**
 * Options of `onceward()`. Those of an operation are the default for every operation, and are set per call where they differ.
 * @template Tx what the handler of a transaction gets
 */
export interface OncewardOptions<Tx = unknown> extends Omit<OperationOptions, 'signal'> {
  /** Where operations are remembered: `sqlite('onceward.db')`, `memory()`. */
  readonly store: Store
  /** The application's own database library, for `transaction`: its `tx` is then that library's. @default the store's own client */
  readonly transactions?: Bridge<Tx>
  /** How long the handler of a transaction may take. @default '3s' */
  readonly transactionTimeout?: Duration
  /** How long an attempt owns its operation without renewing: what a crash costs a retry at most. @default '10s' */
  readonly lease?: Duration
  /** How long a handler may run before its caller gets `attempt_timeout` and its lease is no longer renewed. @default '10m' */
  readonly attemptTimeout?: Duration
  /** How long one store call may take before its answer counts as unknown. @default '5s' */
  readonly storeTimeout?: Duration
  /** Calls that wait in this process at the most; beyond them a duplicate is busy at once. @default 10,000 */
  readonly waitersMax?: number
  /** Bytes of one outcome at the most; a larger one is completed as not kept. @default 1 MiB */
  readonly outcomeBytesMax?: number
  /** Told of everything the engine does; `logEvents(pino())` of `onceward/logger` is one. */
  readonly onEvent?: OncewardListener
  /** Time, chance and timers, for tests: members given replace the system's. */
  readonly platform?: Partial<Platform>
}

/** The options, complete. */
export interface Settings<Tx> {
  readonly store: Store
  readonly bridge: Bridge<Tx> | undefined
  readonly transactionMs: number
  readonly leaseMs: number
  readonly attemptMs: number
  readonly storeTimeoutMs: number
  readonly waitersMax: number
  readonly outcomeBytesMax: number
  readonly onEvent: OncewardListener | undefined
  readonly platform: Platform
  readonly operation: OperationSettings
}

/** What holds for one operation. */
export interface OperationSettings {
  readonly policy: Policy
  readonly waitMs: number
}

const causes: readonly (keyof InterruptedPolicy)[] = ['answered', 'thrown', 'lapsed']

/** What holds where nobody says otherwise. */
export const operationDefaults: OperationSettings = {
  policy: {
    ttlMs: limits.ttlMs,
    rememberMs: 0,
    interrupted: { answered: 'retry', thrown: 'retry', lapsed: 'retry' },
    attemptsMax: limits.attemptsMax,
  },
  waitMs: limits.waitMs,
}

const optionNames: Readonly<Record<keyof OncewardOptions, true>> = {
  store: true,
  transactions: true,
  transactionTimeout: true,
  lease: true,
  attemptTimeout: true,
  storeTimeout: true,
  waitersMax: true,
  outcomeBytesMax: true,
  onEvent: true,
  platform: true,
  ttl: true,
  remember: true,
  interrupted: true,
  attemptsMax: true,
  wait: true,
}

/**
 * Checks the options and completes them.
 * @throws OptionsError that names the option, what is wrong and what is allowed
 */
export function settingsOf<Tx>(options: OncewardOptions<Tx>, system: Platform): Settings<Tx> {
  checkNames(options)
  checkStore(options.store)
  if (options.onEvent !== undefined && typeof options.onEvent !== 'function')
    throw new OptionsError('onEvent must be a function: it is called with every event')
  if (options.transactions !== undefined && !isAtomic(options.store)) throw notAtomic(options.store)
  const { lease = limits.leaseMs, attemptTimeout = limits.attemptMs, storeTimeout = limits.storeTimeoutMs } = options
  return {
    store: options.store,
    bridge: options.transactions,
    transactionMs: durationMs('transactionTimeout', options.transactionTimeout ?? limits.transactionMs, { min: 1 }),
    leaseMs: durationMs('lease', lease, { min: 1 }),
    attemptMs: durationMs('attemptTimeout', attemptTimeout, { min: 1 }),
    storeTimeoutMs: durationMs('storeTimeout', storeTimeout, { min: 1 }),
    waitersMax: count('waitersMax', options.waitersMax ?? limits.waitersMax, 0),
    outcomeBytesMax: count('outcomeBytesMax', options.outcomeBytesMax ?? limits.outcomeBytesMax, 0),
    onEvent: options.onEvent,
    platform: { ...system, ...options.platform },
    operation: operationSettings(options, operationDefaults),
  }
}

/** The settings of one call: what it sets, and the defaults for the rest. Most calls set nothing and cost nothing. */
export function operationSettings(options: OperationOptions, defaults: OperationSettings): OperationSettings {
  const { ttl, remember, interrupted, attemptsMax, wait } = options
  const waitMs = wait === undefined ? defaults.waitMs : durationMs('wait', wait)
  if (ttl === undefined && remember === undefined && interrupted === undefined && attemptsMax === undefined)
    return waitMs === defaults.waitMs ? defaults : { ...defaults, waitMs }
  const { policy } = defaults
  return {
    policy: {
      ttlMs: ttl === undefined ? policy.ttlMs : durationMs('ttl', ttl, { min: 1 }),
      rememberMs: remember === undefined ? policy.rememberMs : durationMs('remember', remember),
      interrupted: interrupted === undefined ? policy.interrupted : interruptedPolicy(interrupted, policy.interrupted),
      attemptsMax: attemptsMax === undefined ? policy.attemptsMax : count('attemptsMax', attemptsMax, 1),
    },
    waitMs,
  }
}

function interruptedPolicy(given: InterruptedRule | Partial<InterruptedPolicy>, defaults: InterruptedPolicy): InterruptedPolicy {
  if (typeof given !== 'object' || given === null) return { answered: rule(given), thrown: rule(given), lapsed: rule(given) }
  const unknown = Object.keys(given).find((name) => !causes.some((cause) => cause === name))
  if (unknown !== undefined) throw new OptionsError(`interrupted.${unknown} is not an option: it has ${causes.join(', ')}`)
  const { answered = defaults.answered, thrown = defaults.thrown, lapsed = defaults.lapsed } = given
  return { answered: rule(answered), thrown: rule(thrown), lapsed: rule(lapsed) }
}

function rule(value: InterruptedRule): InterruptedRule {
  if (value !== 'retry' && value !== 'hold') throw new OptionsError(`interrupted must be 'retry' or 'hold', not ${String(value)}`)
  return value
}

function count(name: string, value: number, min: number): number {
  if (Number.isSafeInteger(value) && value >= min) return value
  throw new OptionsError(`${name} must be a whole number from ${min}, not ${String(value)}`)
}

function checkNames(options: unknown): void {
  if (typeof options !== 'object' || options === null)
    throw new OptionsError('onceward() takes an object of options: onceward({ store })')
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(optionNames, name))
  if (unknown === undefined) return
  throw new OptionsError(`${unknown} is not an option of onceward(): it has ${Object.keys(optionNames).join(', ')}`)
}

function checkStore(store: unknown): void {
  const isStore = typeof store === 'object' && store !== null && 'claim' in store && 'settle' in store
  if (!isStore)
    throw new OptionsError("store must be given: store: sqlite('onceward.db') of onceward/sqlite, or memory() of onceward/memory")
}

/** Whether the store can commit effects and record together. */
export function isAtomic(store: Store): store is AtomicStore<unknown> {
  return 'transaction' in store && typeof store.transaction === 'function'
}

/** The error of asking for a transaction where there can be none. */
export function notAtomic({ name }: Store): OptionsError {
  return new OptionsError(
    `the store '${name}' cannot commit an effect and its record together; nothing ran: use sqlite, postgres or mysql for transactions, or run() without one`,
  )
}
