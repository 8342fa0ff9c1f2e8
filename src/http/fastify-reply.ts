import type { NodeResponse } from './node-types.ts'

/** A reply of Fastify, by the members that are used. */
export interface FastifyReply {
  /** Node's own response. */
  readonly raw: NodeResponse
  /** The headers that were set, on the reply or on Node's own response. */
  getHeaders(): Readonly<Record<string, number | string | readonly string[] | undefined>>
}

/**
 * Fastify keeps headers beside Node's response until it answers: those set before the layer (CORS, say) go with the layer's own answers
 * too. Not those that describe a body, which would be another one's.
 */
export function presentHeaders(reply: FastifyReply): void {
  const headers = reply.getHeaders()
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value !== undefined && !name.startsWith('content-')) reply.raw.setHeader(name, value)
  }
}
