import type { InterruptionCause } from '../core/policy.ts'

/** What every event about an operation bears. */
interface OfOperation {
  /** The first 16 hexadecimal digits of the scope's SHA-256: the same for one tenant's events, without naming it. */
  readonly scopeDigest: string
  readonly name: string
  readonly key: string
  /** Since the call was made. Milliseconds. */
  readonly durationMs: number
}

/** Something the engine did or found. */
export type OncewardEvent =
  /** The store is open; its tier, and why. */
  | { readonly type: 'opened'; readonly store: string; readonly tier: string; readonly reason: string }
  /** A store call failed: which, and with what. It is tried again, within its limits. */
  | { readonly type: 'storeFailed'; readonly call: string; readonly error: unknown }
  /** This call owns the attempt, and its handler starts. */
  | (OfOperation & { readonly type: 'claimed'; readonly attempt: number })
  /** This call was answered with an outcome that is not its own. */
  | (OfOperation & { readonly type: 'replayed' })
  /** The operation runs elsewhere; this call waits. */
  | (OfOperation & { readonly type: 'waiting' })
  /** The operation was still running when this call's wait was over. */
  | (OfOperation & { readonly type: 'busy' })
  /** The key was used before with another input. */
  | (OfOperation & { readonly type: 'mismatch' })
  /** The attempt ended without an outcome to keep. */
  | (OfOperation & {
      readonly type: 'interrupted'
      readonly attempt: number
      readonly cause: InterruptionCause
      readonly error?: unknown
    })
  /** The attempt had lost its operation when it ended; what it answered was not recorded. */
  | (OfOperation & { readonly type: 'fenced'; readonly attempt: number })
  /** The outcome is recorded; `kept` false when it cannot be replayed. */
  | (OfOperation & { readonly type: 'completed'; readonly attempt: number; readonly kept: boolean })
  /** A claim was given back, or will be when the store is back: its handler never started. */
  | (OfOperation & { readonly type: 'released' })
  /** The operation waits for someone to resolve it. */
  | (OfOperation & { readonly type: 'held'; readonly attempt: number })
  /** Someone resolved a held operation. */
  | (OfOperation & { readonly type: 'resolved'; readonly actor: string; readonly reason: string })

/** Called with every event, within the call it is about: it should be quick. What it throws is dropped. */
export type OncewardListener = (event: OncewardEvent) => void
