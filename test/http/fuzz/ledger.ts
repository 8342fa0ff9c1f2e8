import { createHash } from 'node:crypto'
import type { Conversation } from './conversation.ts'
import type { FuzzRequest } from './request.ts'
import type { RawAnswer } from './answers.ts'

/** One effect as the fixture counts it. */
export interface CountedEffect {
  readonly route: string
  readonly key: string | null
  readonly tenant: string
}

/** What the same operation was answered with, each time. */
interface Account {
  /** Of answers that are an outcome: status, place and body. */
  readonly outcomes: Set<string>
  /** Answers with an outcome and without the marker. */
  firsts: number
}

/** Statuses that an answer of the layer or of the server before it may have. */
const refusalsOf = {
  sound: [409, 413, 422],
  refused: [400, 409, 422, 425],
  broken: [400, 408, 409, 413, 417, 422, 425, 431],
} as const

/** Runs that the fixture's default policy gives an operation without an outcome. */
const attemptsMax = 10

/** Compares what was asked, answered and done. */
export class Ledger {
  readonly violations: string[] = []
  readonly counts: Record<string, number> = {}
  readonly #accounts = new Map<string, Account>()
  /** What valid keys look like as they are sent, and what they name. */
  readonly #keys = new Map<string, string>()
  /** Effects that no key protects: how many at the most, and at the least. */
  readonly #free = { asked: 0, answered: 0 }

  /** Called before anything of it is sent. */
  asked({ requests }: Conversation): void {
    for (const { sentKey, key, method, path } of requests) {
      if (sentKey !== undefined && key !== undefined) this.#keys.set(sentKey, key)
      if (!isProtected(method) || path === '/optional') this.#free.asked += 1
    }
  }

  /** The answers of a conversation, in order. */
  answered(number: number, { requests, end }: Conversation, answers: readonly RawAnswer[]): void {
    for (const [index, request] of requests.entries()) {
      const answer = answers[index]
      this.#count(answer === undefined ? 'unanswered' : String(answer.status))
      if (answer !== undefined) this.#answer(number, request, answer)
      // A half-closed connection may be closed from the other side as well; what was broken may be closed without a word.
      else if (end === 'wait' && request.expectation !== 'broken') this.#wrong(number, request, 'was not answered')
    }
  }

  /** What was done in the end. */
  done(effects: readonly CountedEffect[]): void {
    const done = new Map<string, number>()
    let free = 0
    for (const { route, key, tenant } of effects) {
      const [method = '', path = ''] = route.split(' ')
      const known = key === null ? undefined : this.#keys.get(key)
      if (isProtected(method) && known !== undefined) add(done, identity({ method, path, tenant, key: known }))
      else if (!isProtected(method) || (path === '/optional' && key === null)) free += 1
      else this.violations.push(`an effect of ${route} under ${JSON.stringify(key)}, which is no valid key, or was never sent`)
    }
    for (const [name, count] of done)
      if (count > (mayRepeat(name) ? attemptsMax : 1)) this.violations.push(`${name} had ${count} effects`)
    for (const [name, { firsts, outcomes }] of this.#accounts) this.#checkAccount(name, done.get(name) ?? 0, firsts, outcomes)
    if (free < this.#free.answered || free > this.#free.asked)
      this.violations.push(
        `${free} effects without a key, where ${this.#free.answered} were answered and ${this.#free.asked} asked for`,
      )
  }

  #checkAccount(name: string, effects: number, firsts: number, outcomes: ReadonlySet<string>): void {
    if (effects === 0 && outcomes.size > 0) this.violations.push(`${name} was answered with an outcome and had no effect`)
    if (outcomes.size > 1) this.violations.push(`${name} had ${outcomes.size} outcomes: ${[...outcomes].join(' | ')}`)
    if (firsts > 1) this.violations.push(`${name} was answered as if for the first time ${firsts} times`)
  }

  #answer(number: number, request: FuzzRequest, answer: RawAnswer): void {
    const { expectation, method, path, key } = request
    const refusals: readonly number[] = refusalsOf[expectation]
    const isProblem = answer.headers.get('content-type') === 'application/problem+json'
    const isOwn =
      expectation !== 'refused' && statusesOf(path, method).includes(answer.status) && !isProblem && !isOfNode(path, answer)
    const isFailure = path === '/throw' && answer.status === 500
    if (!isOwn && !isFailure && !refusals.includes(answer.status))
      this.#wrong(number, request, `was answered with ${answer.status}`)
    if (!isOwn) return
    if (isEcho(request) && !isSameInput(request.body, answer.body))
      this.#wrong(number, request, `was answered with ${JSON.stringify(answer.body.toString('latin1').slice(0, 200))}`)
    if (!isProtected(method) || (path === '/optional' && key === undefined)) this.#freeAnswer(method, path, answer)
    else if (key !== undefined && !mayRepeat(path) && isRoute(path)) this.#outcome(identity({ ...request, key }), answer)
  }

  #freeAnswer(method: string, path: string, { status, headers }: RawAnswer): void {
    const isEffect = status < 300 && (path === '/optional' || (path === '/echo' && method !== 'GET'))
    if (isEffect) this.#free.answered += 1
    if (headers.has('idempotent-replayed')) this.violations.push(`${method} ${path} bears the marker without protection`)
  }

  #outcome(name: string, { status, headers, body }: RawAnswer): void {
    const account = this.#accounts.get(name) ?? { outcomes: new Set(), firsts: 0 }
    this.#accounts.set(name, account)
    const digest = createHash('sha256').update(body).digest('hex').slice(0, 12)
    account.outcomes.add([status, headers.get('location'), body.length, digest].join(' '))
    if (headers.get('idempotent-replayed') !== 'true') account.firsts += 1
  }

  #wrong(number: number, { method, path, bytes }: FuzzRequest, what: string): void {
    const sent = JSON.stringify(bytes.toString('latin1').slice(0, 600))
    this.violations.push(`conversation ${number}: ${method} ${path} ${what}; sent ${sent}`)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

function isProtected(method: string): boolean {
  return method === 'POST' || method === 'PATCH'
}

/** Statuses that the application itself answers with: the fixture's route, or none for the method or the path. */
function statusesOf(path: string, method: string): readonly number[] {
  if (path.startsWith('/status/')) return [Number(path.slice('/status/'.length))]
  if (path === '/throw') return [500]
  if (path === '/counter') return method === 'GET' || method === 'HEAD' ? [200, 405] : [200, 204, 404, 405]
  if (path === '/nowhere') return [404, 405]
  return path === '/echo' || path === '/optional' ? [200, 201, 204] : [200, 204]
}

/** Where the handler sends back what it was sent. */
function isEcho({ path, method, expectation }: FuzzRequest): boolean {
  return expectation === 'sound' && (path === '/optional' || (path === '/echo' && method !== 'DELETE'))
}

/** Byte by byte, or as JSON: what is replayed is the first request's spelling. */
function isSameInput(sent: Buffer, got: Buffer): boolean {
  if (sent.equals(got)) return true
  try {
    return JSON.stringify(JSON.parse(sent.toString('latin1'))) === JSON.stringify(JSON.parse(got.toString('latin1')))
  } catch {
    return false
  }
}

/** What Node answers to what is not HTTP has no body, and may stand for any request that was under way. */
function isOfNode(path: string, { status, body }: RawAnswer): boolean {
  return status >= 400 && path.startsWith('/status/') && !body.toString('latin1').startsWith('status:')
}

/** Whether the layer is asked at all. */
function isRoute(path: string): boolean {
  return path !== '/counter' && path !== '/nowhere'
}

/** Answers that are not kept leave the operation to run again. */
function mayRepeat(name: string): boolean {
  return /\/(?:throw|status\/(?:408|425|429|5\d\d))(?: |$)/.test(name)
}

function identity({ method, path, tenant, key }: { method: string; path: string; tenant: string; key: string }): string {
  return `${method} ${path} of ${tenant} under ${JSON.stringify(key)}`
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
