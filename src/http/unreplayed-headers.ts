/** A set of header names, in lower case; with some of them goes everything that begins so. */
export interface HeaderNames {
  /** @param name in lower case */
  has(name: string): boolean
}

/** What belongs to one exchange and not to the outcome of the operation. */
const names: readonly string[] = [
  // Of one connection: RFC 9110 §7.6.1. What `Connection` lists is added an answer at a time.
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // Computed anew for every answer.
  'content-length',
  'date',
  'age',
  // A session that is handed out again would be somebody else's.
  'set-cookie',
  'set-cookie2',
  // The name of one request.
  'request-id',
  'x-request-id',
  'correlation-id',
  'x-correlation-id',
  // What one request took, and its trace.
  'server-timing',
  'x-response-time',
  'x-runtime',
  'traceparent',
  'tracestate',
  'traceresponse',
  'b3',
  'uber-trace-id',
  'x-cloud-trace-context',
  'x-trace-id',
  // How much the caller may still ask, now.
  'ratelimit',
  'ratelimit-policy',
  // Ours.
  'idempotent-replayed',
]

/** Families: CORS answers the present request's origin, the others are as above. */
const prefixes = /^(?:access-control-|ratelimit-|x-rate-?limit-|x-amzn-|x-b3-|x-datadog-)/

/** The headers that a replay does not take from the stored answer; those of the present one, set before this layer, stay. */
export function unreplayedHeaders(further: readonly string[]): HeaderNames {
  const set = new Set([...names, ...further.map((name) => name.toLowerCase())])
  return { has: (name) => set.has(name) || prefixes.test(name) }
}
