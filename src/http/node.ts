import { NodeCall } from './node-call.ts'
import { NodeDoor, type NodeExchange } from './node-door.ts'
import type { HttpOptions } from './policy.ts'
import type { NodeRequest, NodeResponse } from './node-types.ts'

/** A listener of `node:http`, which may be asynchronous. */
export type NodeListener<Request, Response> = (request: Request, response: Response) => unknown

/**
 * Protects a listener of `node:http`: `createServer(idempotent({ once, scope }, (request, response) => …))`. What it throws before it has
 * answered is answered with 500, a `refusal(…)` with its own status.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function idempotent<Request extends NodeRequest, Response extends NodeResponse>(
  options: HttpOptions<Request>,
  listener: NodeListener<Request, Response>,
): (request: Request, response: Response) => void {
  const door = new NodeDoor(options)
  return function idempotentListener(request, response) {
    const exchange: NodeExchange<Request> = {
      call: new NodeCall(request, { raw: request, target: request.url, parsed: request }),
      response,
      run: () => listener(request, response),
      fail: (error) => door.giveThrown(exchange, error),
    }
    door.serve(exchange)
  }
}

export { attemptOf } from './attempt-of.ts'
export { byAuthorization, everyone } from './scope.ts'
export { storedAnswer } from './answer.ts'
export type { FingerprintPart, HttpOptions } from './policy.ts'
export type { NodeHeader, NodeRequest, NodeResponse, NodeSocket } from './node-types.ts'
export type { ProblemCode } from './problem.ts'
