import { limits } from '../core/limits.ts'
import { NestedRunError, StoreFullError, StoreUnavailableError, UncertainError } from '../core/errors.ts'
import { busy, type Flight } from './flights.ts'
import { outcomeBytes, notKept } from '../core/outcome.ts'
import { tokenOf } from './reservations.ts'
import { Waiting, pause } from './waiting.ts'
import type { Call, ExecutionContext } from './context.ts'
import type { Ending, ExecuteResult } from './once.ts'
import type { Claim, ClaimResult, SettleResult } from '../core/transitions.ts'
import type { Claimed, Inside, LeasedAttempt } from './leases.ts'
import type { Outcome } from '../core/record.ts'

type Work = (attempt: LeasedAttempt) => Promise<Ending>

/** Runs the call's work, or finds out what the operation ended with. */
export function execute(context: ExecutionContext, call: Call, work: Work): Promise<ExecuteResult> {
  return fly(context, call, (flight) => lead(context, call, flight, work))
}

/** Leads the operation's flight, or follows who does. */
export function fly(
  context: ExecutionContext,
  call: Call,
  leadOn: (flight: Flight) => Promise<ExecuteResult>,
): Promise<ExecuteResult> {
  call.signal?.throwIfAborted()
  refuseNested(context.inside.getStore(), call)
  const flying = context.flights.get(call.id)
  if (flying === undefined) return leadOn(context.flights.begin(call.id, call.fingerprint))
  return follow(context, call, flying, leadOn)
}

/** Waits for the flight's leader; leads on where that leaves without an answer for the others. */
async function follow(
  context: ExecutionContext,
  call: Call,
  flying: Flight,
  leadOn: (flight: Flight) => Promise<ExecuteResult>,
): Promise<ExecuteResult> {
  const news = await flying.follow(call, () => context.emit(call, { type: 'waiting' }))
  if (news === 'lead') return leadOn(flying)
  tell(context, call, news)
  return news
}

/** Leads the flight to its end: whatever happens, its followers are told, or one of them leads on. */
async function lead(context: ExecutionContext, call: Call, flight: Flight, work: Work): Promise<ExecuteResult> {
  let isClaimed = false
  try {
    const found = await claim(context, call, flight)
    isClaimed = found.state === 'claimed'
    const result = found.state === 'claimed' ? await runAttempt(context, call, flight, found, work) : withoutRunning(found)
    if (found.state !== 'claimed') tell(context, call, result)
    return land(flight, result)
  } catch (error) {
    // The same errors may come from the handler, when it runs something else: then they say nothing of this operation's store.
    const isUnavailable = !isClaimed && error instanceof StoreUnavailableError
    if (isUnavailable) context.emit(call, { type: 'released' })
    if (isUnavailable || (!isClaimed && error instanceof StoreFullError)) flight.failed(error)
    else flight.handOver()
    throw error
  }
}

/** Claims the operation; while it is busy elsewhere, waits and claims again, as long as the call may. */
async function claim(
  context: ExecutionContext,
  call: Call,
  flight: Flight,
): Promise<(Claimed & { readonly state: 'claimed' }) | Exclude<ClaimResult, { state: 'claimed' }>> {
  const { calls, platform, leaseMs } = context
  const { id, signal } = call
  const request = claimOf(context, call)
  const waiting = new Waiting(context, call, flight)
  let isLate = false
  try {
    for (;;) {
      const sentAt = platform.monotonicNow()
      const found = await calls.claim(request)
      if (found.state === 'claimed') {
        if (signal?.aborted === true) return await giveBack(context, call, request)
        if (platform.monotonicNow() - sentAt < leaseMs) return claimedAs(found, request.owner, { id, sentAt })
        // The process was stopped, or the store is slow: the lease may have lapsed, and another attempt be running. Asked again, it is
        // live again, or the store tells.
        if (isLate) throw calls.abandon(request, new Error(`two answers took longer than the lease of ${leaseMs} ms`))
        isLate = true
      } else if (found.state !== 'busy' || !(await waiting.next())) return found
    }
  } finally {
    waiting.end()
  }
}

/** Claims the operation for whoever has the token, for as long as is said; nothing of this process follows it, or keeps its lease. */
export async function claimAlone(
  context: ExecutionContext,
  call: Call,
  holdMs: number,
): Promise<{ readonly state: 'reserved'; readonly token: string } | ExecuteResult> {
  call.signal?.throwIfAborted()
  const { calls, platform } = context
  const request = { ...claimOf(context, call), leaseMs: holdMs }
  const deadline = call.startedAt + call.waitMs
  for (;;) {
    const found = await calls.claim(request)
    if (found.state === 'claimed') {
      context.emit(call, { type: 'claimed', attempt: found.attempt })
      return { state: 'reserved', token: tokenOf({ id: call.id, attempt: found.attempt, owner: request.owner }) }
    }
    const leftMs = deadline - platform.monotonicNow()
    if (found.state !== 'busy' || leftMs <= 0) {
      const result = withoutRunning(found)
      tell(context, call, result)
      return result
    }
    await pause(context, call.id, Math.min(limits.pollMsMax, leftMs), call.signal)
  }
}

/** The call's claim, under an owner of its own. */
export function claimOf({ platform, leaseMs }: ExecutionContext, { id, operation, fingerprint, policy }: Call): Claim {
  const { scope, name, key } = operation
  return { id, scope, name, key, fingerprint, policy, leaseMs, owner: platform.randomId() }
}

function claimedAs(
  { attempt, generation, steps: kept }: Extract<ClaimResult, { state: 'claimed' }>,
  owner: string,
  { id, sentAt }: { readonly id: string; readonly sentAt: number },
): Claimed & { readonly state: 'claimed' } {
  return { state: 'claimed', fence: { id, attempt, owner }, sentAt, generation, kept }
}

/** The claim is ours, but its caller is gone, and the handler has not started. */
async function giveBack({ calls, emit }: ExecutionContext, call: Call, { id, owner }: Claim): Promise<never> {
  emit(call, { type: 'released' })
  await calls.settle({ kind: 'release', id, owner }, () => {})
  throw call.signal?.reason
}

/** Runs the work under the lease and settles what it came to. */
async function runAttempt(
  context: ExecutionContext,
  call: Call,
  flight: Flight,
  claimed: Claimed,
  work: Work,
): Promise<ExecuteResult> {
  flight.nowRunning()
  const leased = context.leases.add(claimed)
  context.emit(call, { type: 'claimed', attempt: leased.number })
  const working = leased.start(context.inside, work)
  let ending: Ending
  try {
    ending = await leased.within(working)
  } catch (error) {
    return interruptedBy(context, call, leased, working, error)
  }
  return leased.isUncertain ? hold(context, call, leased, undefined) : settle(context, call, leased, ending)
}

/** A step may or may not have taken effect: the operation is held, whatever the handler made of that. */
async function hold(context: ExecutionContext, call: Call, leased: LeasedAttempt, error: unknown): Promise<ExecuteResult> {
  const result = await interrupt(context, call, leased, 'uncertain', error)
  return result === 'stale' ? ownersAnswer(context, call, leased) : { state: 'held', attempt: leased.number, cause: 'uncertain' }
}

/** The work threw, or its time was up. In the second case what it ends with later is still settled, if nobody has taken over. */
async function interruptedBy(
  context: ExecutionContext,
  call: Call,
  leased: LeasedAttempt,
  working: Promise<Ending>,
  error: unknown,
): Promise<ExecuteResult> {
  if (leased.isOverdue) {
    context.emit(call, { type: 'interrupted', attempt: leased.number, cause: 'lapsed', error })
    void settleLate(context, call, leased, working)
    throw error
  }
  if (error instanceof UncertainError) return hold(context, call, leased, error)
  const result = await interrupt(context, call, leased, leased.isUncertain ? 'uncertain' : 'thrown', error)
  if (result === 'stale') return ownersAnswer(context, call, leased)
  throw error
}

/** Never rejects: its caller was answered long ago, and what fails is told to the listener where the call was made. */
async function settleLate(context: ExecutionContext, call: Call, leased: LeasedAttempt, working: Promise<Ending>): Promise<void> {
  try {
    await settle(context, call, leased, await working)
  } catch (error) {
    await interrupt(context, call, leased, 'thrown', error)
  }
}

async function settle(context: ExecutionContext, call: Call, leased: LeasedAttempt, ending: Ending): Promise<ExecuteResult> {
  if (ending.state === 'release') return release(context, call, leased)
  if (ending.state === 'interrupt') {
    const result = await interrupt(context, call, leased, 'answered', undefined)
    return result === 'stale' ? ownersAnswer(context, call, leased) : { state: 'interrupted' }
  }
  const outcome = fitted(ending.outcome, context.outcomeBytesMax)
  const result = await context.calls.settle({ ...leased.fence, kind: 'complete', outcome }, () => context.leases.drop(leased))
  if (result === 'stale') return ownersAnswer(context, call, leased)
  if (result === 'ok') context.emit(call, { type: 'completed', attempt: leased.number, kept: outcome.kept })
  return { state: 'completed', outcome, replayed: false, settled: result === 'ok' }
}

/** Nothing was done: the operation is as it was before this attempt. Should another attempt own it by now, that one is not touched. */
async function release(context: ExecutionContext, call: Call, leased: LeasedAttempt): Promise<ExecuteResult> {
  const { id, owner } = leased.fence
  await context.calls.settle({ kind: 'release', id, owner }, () => context.leases.drop(leased))
  context.emit(call, { type: 'released' })
  return { state: 'interrupted' }
}

async function interrupt(
  context: ExecutionContext,
  call: Call,
  leased: LeasedAttempt,
  cause: 'answered' | 'thrown' | 'uncertain',
  error: unknown,
): Promise<SettleResult | 'unknown'> {
  const result = await context.calls.settle({ ...leased.fence, kind: 'interrupt', cause }, () => context.leases.drop(leased))
  const { type, attempt } = { type: 'interrupted', attempt: leased.number } as const
  if (result !== 'stale') context.emit(call, error === undefined ? { type, attempt, cause } : { type, attempt, cause, error })
  return result
}

/** This attempt lost its operation: its own answer is not handed out, but what the owner's record says. It never claims again. */
async function ownersAnswer(context: ExecutionContext, call: Call, leased: LeasedAttempt): Promise<ExecuteResult> {
  context.emit(call, { type: 'fenced', attempt: leased.number })
  // Its caller was answered when its time was up: nobody waits for what the owner comes to.
  if (leased.isOverdue) return busy(true)
  const deadline = context.platform.monotonicNow() + call.waitMs
  for (let pauseMs = limits.pollMs; ; pauseMs = Math.min(pauseMs * 2, limits.pollMsMax)) {
    const answer = await look(context, call)
    if (answer !== 'running') return answer
    const leftMs = deadline - context.platform.monotonicNow()
    if (leftMs <= 0) return busy(true)
    await pause(context, call.id, Math.min(pauseMs, leftMs), call.signal)
  }
}

/** What the record says to an attempt that is no longer its own; `running` while there is nothing to say, or no answer. */
async function look({ calls }: ExecutionContext, call: Call): Promise<ExecuteResult | 'running'> {
  const views = await calls.call('find', () => calls.store.find([call.id])).catch(() => 'unknown' as const)
  if (views === 'unknown') return 'running'
  const [view] = views
  if (!view || view.record.fingerprint !== call.fingerprint) return busy(true)
  const { record, state, cause } = view
  switch (state) {
    case 'running':
      return state
    case 'expired':
      return { state }
    case 'held':
      return { state, attempt: record.attempt, cause: cause ?? 'lapsed' }
    case 'completed':
      return record.outcome === null ? busy(true) : { state, outcome: record.outcome, replayed: true, settled: true }
    case 'interrupted':
      return busy(true)
  }
}

function refuseNested(inside: Inside | undefined, call: Call): void {
  for (let here = inside; here !== undefined; here = here.outer)
    if (here.isRunning && here.operationId === call.id) throw new NestedRunError(call.operation.name)
}

/** The outcome, or that it was too large to be kept. */
export function fitted(outcome: Outcome, bytesMax: number): Outcome {
  return outcomeBytes(outcome) <= bytesMax ? outcome : notKept()
}

/** What a call is given that ran nothing. */
export function withoutRunning(found: Exclude<ClaimResult, { state: 'claimed' }>): ExecuteResult {
  if (found.state === 'completed') return { ...found, replayed: true, settled: true }
  return found.state === 'busy' ? busy() : found
}

/** Tells the flight's followers, or lets one of them lead on. */
export function land(flight: Flight, result: ExecuteResult): ExecuteResult {
  if (isShared(result)) flight.landed(result)
  else flight.handOver()
  return result
}

/** Whether every call with the same input would be given the same now. */
function isShared({ state }: ExecuteResult): boolean {
  return state === 'completed' || state === 'held' || state === 'expired'
}

/** Tells the listener what became of a call that ran nothing. */
export function tell({ emit }: ExecutionContext, call: Call, result: ExecuteResult): void {
  switch (result.state) {
    case 'completed':
      return emit(call, { type: 'replayed' })
    case 'held':
      return emit(call, { type: 'held', attempt: result.attempt })
    case 'busy':
    case 'mismatch':
      return emit(call, { type: result.state })
    case 'expired':
    case 'interrupted':
  }
}
