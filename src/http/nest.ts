import { addInterceptor } from './nest-metadata.ts'
import { NestExchange, type NestContext, type NestHandler, type NestRequest } from './nest-exchange.ts'
import { NodeDoor } from './node-door.ts'
import type { HttpOptions } from './policy.ts'
import type { NestObservable } from './nest-observable.ts'

/** An interceptor of Nest. */
export interface NestInterceptor<Request> {
  /** Lets the handler run, once. */
  intercept<Handled extends NestObservable>(context: NestContext<Request>, next: NestHandler<Handled>): Promise<Handled>
}

/**
 * An interceptor that protects the handlers behind it, for Nest 12 on Express or Fastify: `@UseInterceptors(idempotent({ once, scope }))` on
 * a handler or a controller, or `app.useGlobalInterceptors(…)`. It stands behind guards: what they refuse is not remembered. Pipes and
 * exception filters stand behind it: what they answer is an outcome like any other. Interceptors before it see `undefined` in the place of
 * a replay, which they cannot change.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function idempotent<Request extends NestRequest>(options: HttpOptions<Request>): NestInterceptor<Request> {
  const door = new NodeDoor(options)
  return {
    intercept(context, next) {
      const type = context.getType()
      if (type !== 'http')
        throw new TypeError(`onceward/nest protects handlers of HTTP, and this one is of ${type}: call once.run in the handler`)
      const exchange = new NestExchange<Request, ReturnType<typeof next.handle>>(context, next, door)
      door.serve(exchange)
      return exchange.handled
    },
  }
}

/**
 * The interceptor as a decorator of a handler, or of a controller for all of its handlers: `@Post() @Idempotent({ once, scope })`.
 * @throws OptionsError that names the option, what is wrong and the remedy
 */
export function Idempotent<Request extends NestRequest>(
  options: HttpOptions<Request>,
): (target: object, name?: string | symbol, descriptor?: PropertyDescriptor) => void {
  const interceptor = idempotent(options)
  return function idempotentDecorator(target, _name, descriptor) {
    const handler: unknown = descriptor?.value
    addInterceptor(typeof handler === 'function' ? handler : target, interceptor)
  }
}

export { attemptOf } from './attempt-of.ts'
export { byAuthorization, everyone } from './scope.ts'
export { storedAnswer } from './answer.ts'
export type { FingerprintPart, HttpOptions } from './policy.ts'
export type { NestContext, NestHandler, NestRequest } from './nest-exchange.ts'
export type { NodeHeader, NodeRequest, NodeResponse, NodeSocket } from './node-types.ts'
export type { ProblemCode } from './problem.ts'
