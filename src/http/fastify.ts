import { NodeCall } from './node-call.ts'
import { NodeDoor } from './node-door.ts'
import { presentHeaders, type FastifyReply } from './fastify-reply.ts'
import type { HttpOptions } from './policy.ts'
import type { NodeRequest } from './node-types.ts'

/** A request of Fastify, by the members that are used here or that a `scope` commonly looks at. */
export interface FastifyRequest {
  /** Node's own request. */
  readonly raw: NodeRequest
  /** Path and query as the client sent them: `url` lacks what `rewriteUrl` has taken off. */
  readonly originalUrl: string
  /** The headers, by their names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** What the content type's parser made of the body; undefined before it ran. */
  readonly body: unknown
  /** No route was found. */
  readonly is404: boolean
  /** The address the request came from, as far as `trustProxy` says. */
  readonly ip: string
}

/**
 * Protects the handlers behind it, as a hook of Fastify 5: `app.post('/charges', { preHandler: idempotent({ once, scope }) }, handler)`, or for
 * all routes of a plugin `app.addHook('preHandler', idempotent({ once, scope }))`. A `preHandler` stands behind authentication, parsing and
 * validation: what they refuse is not remembered, and the parsed body is compared. As `onRequest` it compares the bytes. Errors stay
 * Fastify's own: its error handlers answer them. What `onSend` hooks make of an answer is remembered with it, and they do not see a replay.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function idempotent<Request extends FastifyRequest>(
  options: HttpOptions<Request>,
): (request: NoInfer<Request>, reply: FastifyReply, done: (error?: Error) => void) => void {
  const door = new NodeDoor(options)
  return function idempotentHook(request, reply, done) {
    // Hooks of a route are those of its 404 page too, where nothing happens that could happen twice.
    if (request.is404) return done()
    const { raw, originalUrl: target } = request
    const call = new NodeCall(request, { raw, target, parsed: request })
    presentHeaders(reply)
    door.serve({ call, response: reply.raw, run: () => done(), fail: (error) => done(asError(error)) })
  }
}

/** Fastify goes on where a hook's error is falsy. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(`what was thrown before the handler is no error: ${String(error)}`)
}

export { attemptOf } from './attempt-of.ts'
export { byAuthorization, everyone } from './scope.ts'
export { storedAnswer } from './answer.ts'
export type { FastifyReply } from './fastify-reply.ts'
export type { FingerprintPart, HttpOptions } from './policy.ts'
export type { NodeHeader, NodeRequest, NodeResponse, NodeSocket } from './node-types.ts'
export type { ProblemCode } from './problem.ts'
