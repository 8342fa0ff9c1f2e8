import { durationMs } from '../core/duration.ts'
import { limits } from '../core/limits.ts'
import { operationDefaults, operationSettings } from '../engine/options.ts'
import { OptionsError } from '../core/errors.ts'
import { transactional } from './transactional.ts'
import { unreplayedHeaders, type HeaderNames } from './unreplayed-headers.ts'
import type { AtomicOnce, Once, OperationOptions } from '../engine/once.ts'
import type { Sha256 } from '../core/operation.ts'

/** A part of a request that tells a retry from a reuse of the key. Method and path always do. */
export type FingerprintPart = 'query' | 'mediaType' | 'body'

/** Options of the HTTP door, the same for every framework. `Request` is the framework's. */
export interface HttpOptions<Request> extends Omit<OperationOptions, 'signal'> {
  /** What `onceward()` returned. */
  readonly once: Pick<Once, 'execute' | 'sha256' | 'waitMs'> & Partial<Pick<AtomicOnce<unknown>, 'executeTransaction'>>
  /**
   * Runs the handler in a transaction of the store, which `once.current()` gives it: what it answers with 2xx or 3xx is committed together
   * with the record, with 4xx it is rolled back and the answer remembered, else rolled back and forgotten. Its answer must come in one
   * piece. @default false
   */
  readonly transaction?: boolean
  /**
   * Whose key it is: tenant, account or principal, from what your authentication found out before this layer. Two scopes never see
   * each other's answers. `everyone` and `byAuthorization({ secret })` are presets; the digest is for such as them.
   */
  readonly scope: (request: Request, sha256: Sha256) => string | Promise<string>
  /** Whether a request without a key is refused with 400, or passes unprotected. @default true */
  readonly required?: boolean
  /** The methods that are protected; others pass untouched, with a key or without. `PUT` and `DELETE` may be added. @default ['POST', 'PATCH'] */
  readonly methods?: readonly string[]
  /** The header that carries the key. @default 'Idempotency-Key' */
  readonly header?: string
  /** Accept the key as a quoted string (RFC 9651) only, not its bare form. @default false */
  readonly strict?: boolean
  /** Which answers are remembered and replayed; any other ends the attempt as interrupted. @default all but 408, 425, 429 and 5xx */
  readonly stores?: (status: number) => boolean
  /**
   * What is compared beside method and path: a list of parts, or a function that returns the input as a plain value. With a function, or
   * without `'body'` in the list, the request's body is not read by this layer. @default ['query', 'mediaType', 'body']
   */
  readonly fingerprint?: readonly FingerprintPart[] | ((request: Request) => unknown)
  /** The status that answers a key used before with another input. @default 422 */
  readonly mismatchStatus?: 400 | 409 | 422
  /** What becomes of a request sent as TLS early data (RFC 8470), which an attacker can send again. @default 'refuse' */
  readonly earlyData?: 'refuse' | 'accept'
  /** While the store does not answer: refuse with 503, or run the handler without protection. @default 'refuse' */
  readonly storeDown?: 'refuse' | 'run'
  /** Bytes of a request's body that are read into memory to be compared; a larger one is refused with 413. @default 1 MiB */
  readonly requestBytesMax?: number
  /** Bytes of an answer held back until it is settled; a larger one flows, and only its end waits. @default 64 KiB */
  readonly heldBytesMax?: number
  /** Bytes of an answer that are remembered, headers included; a larger one reaches its first caller only. @default 1 MiB */
  readonly outcomeBytesMax?: number
  /** Further headers of the answer that belong to one exchange and are not replayed. @default [] */
  readonly notReplayed?: readonly string[]
  /** Told of an error that no caller can be told of: thrown by a handler that had answered, say. @default console.error */
  readonly onError?: (error: unknown) => void
}

/** The options, complete. Times are milliseconds. */
export interface HttpPolicy<Request> {
  readonly once: Pick<Once, 'sha256' | 'waitMs'>
  readonly execute: Once['execute']
  /** Whether a part of an answer may go out before it is settled. */
  readonly flows: boolean
  readonly scope: (request: Request, sha256: Sha256) => string | Promise<string>
  readonly required: boolean
  readonly methods: ReadonlySet<string>
  /** The header's name as answers carry it, and in lower case. */
  readonly header: string
  readonly headerLower: string
  readonly strict: boolean
  readonly stores: (status: number) => boolean
  readonly fingerprint: readonly FingerprintPart[] | ((request: Request) => unknown)
  readonly mismatchStatus: 400 | 409 | 422
  readonly earlyData: 'refuse' | 'accept'
  readonly storeDown: 'refuse' | 'run'
  readonly requestBytesMax: number
  readonly heldBytesMax: number
  readonly outcomeBytesMax: number
  readonly unreplayed: HeaderNames
  readonly onError: ((error: unknown) => void) | undefined
  /** What is handed to the engine with every operation. */
  readonly operation: Omit<OperationOptions, 'signal' | 'wait'>
  readonly waitMs: number
}

const defaults = {
  required: true,
  methods: ['POST', 'PATCH'],
  header: 'Idempotency-Key',
  strict: false,
  transaction: false,
  stores: (status: number): boolean => status < 500 && status !== 408 && status !== 425 && status !== 429,
  fingerprint: ['query', 'mediaType', 'body'],
  mismatchStatus: 422,
  earlyData: 'refuse',
  storeDown: 'refuse',
  requestBytesMax: limits.requestBytesMax,
  heldBytesMax: limits.heldBytesMax,
  outcomeBytesMax: limits.outcomeBytesMax,
  notReplayed: [],
} as const

const optionNames: Readonly<Record<keyof HttpOptions<never>, true>> = {
  once: true,
  transaction: true,
  scope: true,
  required: true,
  methods: true,
  header: true,
  strict: true,
  stores: true,
  fingerprint: true,
  mismatchStatus: true,
  earlyData: true,
  storeDown: true,
  requestBytesMax: true,
  heldBytesMax: true,
  outcomeBytesMax: true,
  notReplayed: true,
  onError: true,
  ttl: true,
  remember: true,
  interrupted: true,
  attemptsMax: true,
  wait: true,
}

const parts: readonly string[] = ['query', 'mediaType', 'body']

/** Safe by definition (RFC 9110 §9.2.1), so that there is nothing to happen once. */
const unprotectable = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'CONNECT'])

/**
 * Checks the options and completes them.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function policyOf<Request>(options: HttpOptions<Request>): HttpPolicy<Request> {
  checkNames(options)
  checkOnce(options.once)
  checkFunctions(options)
  const header = headerName('header', options.header ?? defaults.header)
  const isAtomic = flag('transaction', options.transaction ?? defaults.transaction)
  const outcomeBytesMax = bytes('outcomeBytesMax', options.outcomeBytesMax ?? defaults.outcomeBytesMax)
  const heldBytesMax = bytes('heldBytesMax', options.heldBytesMax ?? defaults.heldBytesMax)
  return {
    once: options.once,
    execute: isAtomic ? transactional(atomicOnce(options.once)) : (request, work) => options.once.execute(request, work),
    flows: !isAtomic,
    scope: options.scope,
    required: flag('required', options.required ?? defaults.required),
    methods: methodSet(options.methods ?? defaults.methods),
    header,
    headerLower: header.toLowerCase(),
    strict: flag('strict', options.strict ?? defaults.strict),
    stores: options.stores ?? defaults.stores,
    fingerprint: fingerprintRule(options.fingerprint ?? defaults.fingerprint),
    mismatchStatus: oneOf('mismatchStatus', options.mismatchStatus ?? defaults.mismatchStatus, [422, 400, 409]),
    earlyData: oneOf('earlyData', options.earlyData ?? defaults.earlyData, ['refuse', 'accept']),
    storeDown: oneOf('storeDown', options.storeDown ?? defaults.storeDown, ['refuse', 'run']),
    requestBytesMax: bytes('requestBytesMax', options.requestBytesMax ?? defaults.requestBytesMax),
    // All of an answer waits for the commit.
    heldBytesMax: isAtomic ? Math.max(heldBytesMax, outcomeBytesMax) : heldBytesMax,
    outcomeBytesMax,
    unreplayed: unreplayedHeaders([header, ...headerNames(options.notReplayed ?? defaults.notReplayed)]),
    onError: options.onError,
    operation: operationOf(options),
    waitMs: options.wait === undefined ? options.once.waitMs : durationMs('wait', options.wait),
  }
}

/** Only what is given, so that the defaults of `onceward()` stand for the rest; checked now and not at the first request. */
function operationOf(options: OperationOptions): Omit<OperationOptions, 'signal' | 'wait'> {
  const { ttl, remember, interrupted, attemptsMax } = options
  const { policy } = operationSettings(options, operationDefaults)
  return {
    ...(ttl !== undefined && { ttl: policy.ttlMs }),
    ...(remember !== undefined && { remember: policy.rememberMs }),
    ...(interrupted !== undefined && { interrupted }),
    ...(attemptsMax !== undefined && { attemptsMax }),
  }
}

function checkNames(options: unknown): void {
  if (typeof options !== 'object' || options === null)
    throw new OptionsError('idempotent() takes an object of options: idempotent({ once, scope })')
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(optionNames, name))
  if (unknown === undefined) return
  throw new OptionsError(`${unknown} is not an option of the HTTP door: it has ${Object.keys(optionNames).join(', ')}`)
}

function checkOnce(once: unknown): void {
  if (typeof once !== 'object' || once === null || !('execute' in once))
    throw new OptionsError('once must be given: what onceward({ store }) returned')
}

function atomicOnce(once: HttpOptions<never>['once']): Pick<AtomicOnce<unknown>, 'executeTransaction'> {
  const { executeTransaction } = once
  if (executeTransaction !== undefined) return { executeTransaction: executeTransaction.bind(once) }
  throw new OptionsError('transaction: true needs what onceward() returned as once, on a store that can be atomic')
}

function checkFunctions({ scope, stores, onError }: HttpOptions<never>): void {
  if (typeof scope !== 'function')
    throw new OptionsError(
      'scope must be given, so that two callers never see each other: scope: (request) => request.user.id, or byAuthorization({ secret }) or everyone',
    )
  if (stores !== undefined && typeof stores !== 'function')
    throw new OptionsError('stores must be a function: stores: (status) => status < 500')
  if (onError !== undefined && typeof onError !== 'function')
    throw new OptionsError('onError must be a function: it is called with the error')
}

function fingerprintRule<Rule extends readonly string[] | ((request: never) => unknown)>(rule: Rule): Rule {
  if (typeof rule === 'function') return rule
  const given: readonly unknown[] = Array.isArray(rule) ? rule : [rule]
  const unknown = given.filter((part) => !Array.isArray(rule) || !parts.some((known) => known === part))
  if (unknown.length === 0) return rule
  throw new OptionsError(
    `fingerprint has ${String(unknown[0])}: give a list of ${parts.join(', ')}, or a function that returns the input to compare`,
  )
}

function methodSet(methods: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(methods) || methods.length === 0)
    throw new OptionsError("methods must be a list of methods: methods: ['POST', 'PATCH', 'DELETE']")
  for (const method of methods) checkMethod(method)
  return new Set(methods)
}

function checkMethod(method: unknown): void {
  if (typeof method !== 'string' || !/^[A-Z]+$/.test(method))
    throw new OptionsError(`methods has ${String(method)}: give methods in upper case, such as 'POST'`)
  if (unprotectable.has(method))
    throw new OptionsError(`methods has ${method}, which is safe to repeat and never protected: leave it out`)
}

/** A token of RFC 9110 §5.6.2. */
function headerName(option: string, name: unknown): string {
  if (typeof name === 'string' && /^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) return name
  throw new OptionsError(`${option} has ${String(name)}, which is no header name: give letters, digits and hyphens`)
}

function headerNames(names: readonly string[]): readonly string[] {
  if (!Array.isArray(names)) throw new OptionsError("notReplayed must be a list of header names: notReplayed: ['X-Served-By']")
  return names.map((name) => headerName('notReplayed', name))
}

function flag(option: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new OptionsError(`${option} must be true or false, not ${String(value)}`)
}

function bytes(option: string, value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new OptionsError(`${option} must be a whole number of bytes from 0, not ${String(value)}`)
}

function oneOf<Value extends string | number>(option: string, value: Value, allowed: readonly Value[]): Value {
  if (allowed.includes(value)) return value
  throw new OptionsError(`${option} must be one of ${allowed.join(', ')}, not ${String(value)}`)
}
