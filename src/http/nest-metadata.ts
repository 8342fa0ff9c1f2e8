import { OptionsError } from '../core/errors.ts'

/** Where Nest's `@UseInterceptors` keeps the interceptors of a handler or a controller (`INTERCEPTORS_METADATA`), since its first version. */
const interceptorsKey = '__interceptors__'

interface Metadata {
  getMetadata(key: string, target: object): unknown
  defineMetadata(key: string, value: unknown, target: object): void
}

/**
 * Adds an interceptor to a handler or a controller, as Nest's `@UseInterceptors` does.
 * @throws OptionsError where `reflect-metadata`, which Nest loads, is not there
 */
export function addInterceptor(target: object, interceptor: object): void {
  const reflect: object = Reflect
  if (!isMetadata(reflect))
    throw new OptionsError("@Idempotent() needs Nest, which is not loaded: import '@nestjs/common' before it")
  const before: unknown = reflect.getMetadata(interceptorsKey, target)
  reflect.defineMetadata(interceptorsKey, isList(before) ? [...before, interceptor] : [interceptor], target)
}

function isMetadata(reflect: object): reflect is Metadata {
  return 'getMetadata' in reflect && 'defineMetadata' in reflect
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}
