import { FetchCall } from './fetch-call.ts'
import { FetchDoor } from './fetch-door.ts'
import type { HttpOptions } from './policy.ts'

/** A handler of the Fetch standard's shape. What its server gives beside the request (`env`, route parameters) is passed through. */
export type FetchHandler<Asked extends Request, More extends readonly unknown[]> = (
  request: Asked,
  ...more: More
) => Response | Promise<Response>

/**
 * Protects a handler that gets a Request and returns a Response, of Bun, Deno, Workers, a route of Next.js: `idempotent({ once, scope },
 * async (request) => …)`. What it throws is thrown on, a `refusal(…)` is answered with its own status.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function idempotent<Asked extends Request, More extends readonly unknown[] = []>(
  options: HttpOptions<Asked>,
  handler: FetchHandler<Asked, More>,
): (request: Asked, ...more: More) => Promise<Response> {
  const door = new FetchDoor(options)
  return async function idempotentHandler(request, ...more) {
    return door.serve({
      call: new FetchCall(request, request),
      present: () => undefined,
      run: async () => ({ response: await handler(request, ...more) }),
    })
  }
}

export { attemptOf } from './attempt-of.ts'
export { byAuthorization, everyone } from './scope.ts'
export { storedAnswer } from './answer.ts'
export type { FingerprintPart, HttpOptions } from './policy.ts'
export type { ProblemCode } from './problem.ts'
