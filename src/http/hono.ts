import { byAuthorization as byAuthorizationOf } from './scope.ts'
import { FetchDoor } from './fetch-door.ts'
import { HonoCall, type HonoRequest } from './hono-call.ts'
import type { HttpOptions } from './policy.ts'
import type { Sha256 } from '../core/operation.ts'

/** Hono's context, by the members that are used here or that a `scope` commonly looks at. */
export interface HonoContext {
  readonly req: HonoRequest
  /** What the handler threw, once its error handler has answered. */
  readonly error: Error | undefined
  /** A response has been given. */
  readonly finalized: boolean
  get res(): Response
  set res(response: Response | undefined)
  /** A response with the headers set so far. */
  newResponse(data: null): Response
  /** What a middleware before has set. */
  get(name: string): unknown
}

/** Hono drops the answer of a handler whose request has been answered by then. */
const lateAnswer =
  'a handler answered when its time was up, so that its answer is lost and its attempt counts as interrupted: raise attemptTimeout'

/**
 * Protects the handlers behind it: `app.post('/charges', idempotent({ once, scope: (c) => c.get('account') }), handler)`. It belongs behind
 * authentication. Errors stay Hono's own: `app.onError` answers them.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function idempotent<Context extends HonoContext>(
  options: HttpOptions<Context>,
): (context: Context, next: () => Promise<void>) => Promise<void> {
  const door = new FetchDoor(options)
  return async function idempotentMiddleware(context, next) {
    let isGivenUp = false
    const response = await door.serve({
      call: new HonoCall(context),
      present: () => new Headers(context.newResponse(null).headers),
      run: async () => {
        await next()
        if (!context.finalized) throw new TypeError('the handler returned nothing: return a Response')
        if (isGivenUp && context.error === undefined) throw new Error(lateAnswer)
        return { response: context.res, error: context.error }
      },
    })
    isGivenUp = true
    if (response === context.res) return
    // Hono adds the headers of a response that is there already to the one that takes its place.
    context.res = undefined
    context.res = response
  }
}

/** As `byAuthorization` of the other doors, for Hono's context. */
export function byAuthorization(options: { readonly secret: string }): (context: HonoContext, sha256: Sha256) => string {
  const byHeader = byAuthorizationOf(options)
  return ({ req }, sha256) => byHeader(req.raw, sha256)
}

export { attemptOf } from './attempt-of.ts'
export { everyone } from './scope.ts'
export { storedAnswer } from './answer.ts'
export type { FingerprintPart, HttpOptions } from './policy.ts'
export type { ProblemCode } from './problem.ts'
