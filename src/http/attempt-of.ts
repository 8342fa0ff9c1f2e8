import type { Attempt } from '../engine/once.ts'

const attemptKey: unique symbol = Symbol('onceward.attempt')

type Attempted = object & { [attemptKey]?: Attempt }

/** The attempt that a handler is, by its request: its number, and the signal that tells when another may be running. Undefined where nothing protects it. */
export function attemptOf(request: Attempted): Attempt | undefined {
  return request[attemptKey]
}

/** Says which attempt the handler of a request is. */
export function setAttempt(request: Attempted, attempt: Attempt): void {
  request[attemptKey] = attempt
}
