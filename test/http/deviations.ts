import type { Framework } from '../fixture/options.ts'

const ownBodyLimit = {
  'the refusal idempotency_request_too_large is a problem that programs and people can read':
    'the layer stands behind the parsers of bodies, whose limit refuses first',
}
const letsGo = (whose: string): Readonly<Record<string, string>> => ({
  'a client that goes away in the middle of a streamed answer finds all of it': `${whose} itself when the connection is lost`,
})

/** Where a framework makes a behaviour of the contract impossible, by the behaviour's name, with the reason. */
export const deviations: Readonly<Partial<Record<Framework, Readonly<Record<string, string>>>>> = {
  fastify: ownBodyLimit,
  koa: letsGo('Koa destroys the stream of a body'),
  nest: { ...ownBodyLimit, ...letsGo('Nest destroys a StreamableFile') },
  'nest-fastify': { ...ownBodyLimit, ...letsGo('Nest destroys a StreamableFile') },
}
