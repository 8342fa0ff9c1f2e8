import type { AsyncContext, Platform } from './platform.ts'
import type { FlightCall, Flights } from './flights.ts'
import type { Inside, Leases } from './leases.ts'
import type { Operation } from '../core/operation.ts'
import type { OncewardEvent } from './events.ts'
import type { Policy } from '../core/policy.ts'
import type { StoreCalls } from './store-calls.ts'

/** One call to run an operation. */
export interface Call extends FlightCall {
  readonly id: string
  readonly operation: Operation
  readonly policy: Policy
  /** When it was made, by the monotonic clock. Milliseconds. */
  readonly startedAt: number
}

/** An event about a call, but for what every such event bears. */
export type CallEvent = OncewardEvent extends infer Event
  ? Event extends { readonly scopeDigest: string }
    ? Omit<Event, 'scopeDigest' | 'name' | 'key' | 'durationMs'>
    : never
  : never

/** What executions share in a process. */
export interface ExecutionContext {
  readonly calls: StoreCalls
  readonly leases: Leases
  readonly flights: Flights
  readonly platform: Platform
  /** The attempt inside which a piece of code runs. */
  readonly inside: AsyncContext<Inside>
  readonly leaseMs: number
  readonly outcomeBytesMax: number
  readonly emit: (call: Call, event: CallEvent) => void
}
