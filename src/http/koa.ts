import { isPatched } from './node-patch.ts'
import { NodeCall } from './node-call.ts'
import { NodeDoor } from './node-door.ts'
import type { HttpOptions } from './policy.ts'
import type { NodeRequest, NodeResponse } from './node-types.ts'

/** A context of Koa, by the members that are used here or that a `scope` commonly looks at. */
export interface KoaContext {
  /** Node's own request. */
  readonly req: NodeRequest
  /** Node's own response. */
  readonly res: NodeResponse
  /** Koa's request, on which body parsers leave `body`. */
  readonly request: object
  /** Path and query as the client sent them: `url` lacks what mounting has taken off. */
  readonly originalUrl: string
  /** The headers, by their names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** The address the request came from, as far as `proxy` says. */
  readonly ip: string
  /** False where somebody else than Koa answers. */
  respond?: boolean | undefined
  /** Answers what was thrown. */
  onerror(error: Error | null): void
}

/**
 * Protects the middleware behind it: `router.post('/charges', idempotent({ once, scope }), handler)`. For Koa 3. It belongs behind
 * authentication; before or behind body parsers. Errors stay Koa's own: it answers them. What middleware before this one makes of a body
 * (compression, say) is remembered with it, and it does not see a replay.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function idempotent<Context extends KoaContext>(
  options: HttpOptions<Context>,
): (context: Context, next: () => Promise<unknown>) => Promise<unknown> {
  const door = new NodeDoor(options)
  return function idempotentMiddleware(context, next) {
    const { req: raw, res: response, originalUrl: target, request: parsed } = context
    const call = new NodeCall(context, { raw, target, parsed })
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    let isRunning = false
    const run = (): void => {
      isRunning = true
      if (isPatched(response)) keepAnswering(context)
      // Not returned to the door: what it rejects with is for Koa to answer.
      resolve(next())
    }
    response.once('close', () => {
      if (isRunning) return
      context.respond = false
      resolve(undefined)
    })
    door.serve({ call, response, run, fail: reject })
    return promise
  }
}

/**
 * Koa answers nobody whose connection is lost, or who has another answer. What is answered here is for whoever asks next, too. Only that the
 * connection was lost is no answer.
 */
function keepAnswering(context: KoaContext): void {
  const { req, res } = context
  // oxlint-disable-next-line typescript/unbound-method -- called with the context as `this`
  const { onerror } = context
  let isLost = false
  Object.defineProperty(context, 'writable', { configurable: true, get: () => !isLost && !res.writableEnded })
  const answerThrown = (error: Error | null): void => {
    isLost = error !== null && error === req.socket.errored
    onerror.call(context, error)
    // Of an answer that has begun Koa leaves the rest out, and its client waiting.
    if (!isLost && error && res.headersSent && !res.writableEnded) res.destroy(error)
    isLost = false
  }
  Object.assign(context, { onerror: answerThrown })
}

export { attemptOf } from './attempt-of.ts'
export { byAuthorization, everyone } from './scope.ts'
export { storedAnswer } from './answer.ts'
export type { FingerprintPart, HttpOptions } from './policy.ts'
export type { NodeHeader, NodeRequest, NodeResponse, NodeSocket } from './node-types.ts'
export type { ProblemCode } from './problem.ts'
