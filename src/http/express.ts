import { NodeCall } from './node-call.ts'
import { NodeDoor } from './node-door.ts'
import type { HttpOptions } from './policy.ts'
import type { NodeRequest, NodeResponse } from './node-types.ts'

declare global {
  namespace Express {
    /** Where applications and middleware declare what they add to Express's request (`user`, say): seen by `scope` as well. */
    interface Request {}
  }
}

/** A request of Express, by the members that are used here or that a `scope` commonly looks at. */
export interface ExpressRequest extends NodeRequest, Express.Request {
  /** Path and query as the client sent them: `url` lacks what routers before have taken off. */
  readonly originalUrl: string
  /** The value of a header, whatever the case of its name. */
  get(name: string): string | undefined
  /** The address the request came from, as far as `trust proxy` says. */
  readonly ip: string | undefined
}

/**
 * Protects the handlers behind it: `app.post('/charges', idempotent({ once, scope: (request) => request.user.id }), handler)`. For Express 5
 * and 4. It belongs behind authentication; before or behind body parsers. Errors stay Express's own: its error handlers answer them.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function idempotent<Request extends ExpressRequest>(
  options: HttpOptions<Request>,
): (request: Request, response: NodeResponse, next: (error?: unknown) => void) => void {
  const door = new NodeDoor(options)
  return function idempotentMiddleware(request, response, next) {
    const call = new NodeCall(request, { raw: request, target: request.originalUrl, parsed: request })
    door.serve({ call, response, run: () => next(), fail: next })
  }
}

export { attemptOf } from './attempt-of.ts'
export { byAuthorization, everyone } from './scope.ts'
export { storedAnswer } from './answer.ts'
export type { FingerprintPart, HttpOptions } from './policy.ts'
export type { NodeHeader, NodeRequest, NodeResponse, NodeSocket } from './node-types.ts'
export type { ProblemCode } from './problem.ts'
