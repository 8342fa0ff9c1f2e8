import { Random } from '../../simulation/random.ts'

/**
 * What may be expected of a request. `sound`: an answer, and one of those documented for its route. `refused`: an answer, no effect.
 * `broken`: not HTTP, or not to its end; it ends its conversation.
 */
export type Expectation = 'sound' | 'refused' | 'broken'

/** A request as it goes over the wire, and what is known of it. */
export interface FuzzRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly tenant: string
  /** What is sent as the key, and the key that it names; undefined where none or no valid one is sent. */
  readonly sentKey: string | undefined
  readonly key: string | undefined
  readonly expectation: Expectation
  /** Before its transfer coding. */
  readonly body: Buffer
  readonly bytes: Buffer
}

interface Draft {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly headers: readonly string[]
  readonly body: Buffer
}

const routes: readonly ((random: Random) => Pick<Draft, 'method' | 'path' | 'query'>)[] = [
  post(() => '/echo'),
  post(() => '/echo'),
  post(() => '/echo'),
  post((random) => `/status/${random.pick([200, 201, 204, 303, 304, 400, 404, 408, 409, 422, 429, 500, 503])}`),
  post(
    () => '/slow',
    (random) => `?ms=${random.between(0, 20)}`,
  ),
  post(
    () => '/large',
    (random) => `?bytes=${random.pick([0, 1, 65_536, 65_537, 1_100_000])}`,
  ),
  post((random) => random.pick(['/binary', '/empty', '/headers'])),
  post(
    () => '/stream',
    (random) => `?chunks=${random.between(0, 4)}&ms=${random.between(0, 3)}`,
  ),
  post(
    () => '/throw',
    (random) => random.pick(['?when=before', '?when=after']),
  ),
  post(() => '/optional'),
  (random) => ({ method: random.pick(['PATCH', 'PUT', 'DELETE']), path: '/echo', query: '' }),
  (random) => ({ method: random.pick(['GET', 'HEAD']), path: '/counter', query: '' }),
  (random) => ({
    method: random.pick(['POST', 'GET', 'LINK', 'OPTIONS']),
    path: random.pick(['/nowhere', '/counter']),
    query: '',
  }),
]

function post(path: (random: Random) => string, query: (random: Random) => string = () => '') {
  return (random: Random): Pick<Draft, 'method' | 'path' | 'query'> => ({
    method: 'POST',
    path: path(random),
    query: query(random),
  })
}

const validForms: readonly ((key: string) => string)[] = [
  (key) => key,
  (key) => `"${key}"`,
  (key) => `"${key}";a=1`,
  (key) => `"${key}"; b="x, y"`,
  (key) => `"${key.slice(0, 1)}\\"${key.slice(1)}"`,
]

const invalidKeys: readonly string[] = [
  '',
  '""',
  '"',
  '"a',
  'a"',
  '"a"b',
  'a b',
  'a,b',
  '"a", "b"',
  'caf\xe9',
  '\xff\xfe',
  'a\tb',
  '"a\\x"',
  '"a";',
  'k'.repeat(256),
  `"${'k'.repeat(256)}"`,
  '{"a":1}',
]

/** A key and the form it is sent in: often new, sometimes one that others send too. */
function keyOf(random: Random): { readonly sent: string; readonly key: string } {
  const form = random.between(0, validForms.length - 1)
  const word = random.chance(0.5) ? `k${random.between(0, 1_000_000_000)}` : `shared-${random.between(0, 400)}`
  const length = random.chance(0.02) ? 255 : word.length
  const key = form === 4 ? `${word.slice(0, 1)}"${word.slice(1)}` : word.padEnd(length, 'x')
  return { sent: (validForms[form] ?? String)(form === 4 ? word : key), key }
}

const bodies: readonly ((random: Random) => readonly [type: string | undefined, body: string])[] = [
  () => [undefined, ''],
  () => ['application/json', '{"a":1}'],
  () => ['application/json', ' { "a" : 1.0 } '],
  () => ['application/json; charset=utf-8', '{"a":1,"a":2}'],
  () => ['application/json', '{"a":'],
  () => ['application/json', '['.repeat(5_000)],
  () => ['APPLICATION/JSON;;;=', '\xff\xfe\0'],
  () => ['multipart/form-data; boundary=x', '--x\r\n\r\na\r\n--x--\r\n'],
  () => ['multipart/form-data; boundary="', '--\r\n'],
  () => ['multipart/form-data', 'a'],
  (random) => ['application/octet-stream', noise(random, random.between(1, 3_000))],
  () => ['text/plain', 'x'.repeat(70_000)],
  (random) => [noise(random, 5).replaceAll(/[^ -~]/g, '.'), '1e400'],
]

function noise(random: Random, length: number): string {
  return Array.from({ length }, () => String.fromCharCode(random.between(0, 255))).join('')
}

const oddHeaders: readonly string[] = [
  'Prefer: wait=0',
  'Prefer: wait=99999999999999999999, wait="x", ,,',
  'Expect: 100-continue',
  'Content-Encoding: identity',
  'Accept-Encoding: gzip',
  'Connection: keep-alive, Idempotency-Key',
  'If-Match: "1"',
  'X-Filler: ' + 'x'.repeat(4_000),
  'Origin: null',
  'Date: yesterday',
  'Idempotent-Replayed: true',
  'Traceparent: 00-00-00-00',
]

/** A request that is well-formed HTTP, whatever it says. */
export function requestFrom(random: Random): FuzzRequest {
  const { method, path, query } = random.pick(routes)(random)
  const tenant = random.pick(['acme', 'globex', 'anonymous'])
  const [type, text] = random.pick(bodies)(random)
  const [key, keyLines] = keyLinesFrom(random)
  const isEarly = random.chance(0.02)
  const isRefused = (isEarly && keyLines.length > 0) || (keyLines.length > 0 ? key === undefined : path !== '/optional')
  const headers = [
    ...(tenant === 'anonymous' ? [] : [`Authorization: Bearer ${tenant}`]),
    ...(type === undefined ? [] : [`Content-Type: ${type}`]),
    ...keyLines,
    ...(isEarly ? ['Early-Data: 1'] : []),
    ...(random.chance(0.2) ? [random.pick(oddHeaders)] : []),
  ]
  const draft = { method, path, query: `${query}${random.chance(0.1) ? `${query === '' ? '?' : '&'}b=2&a=%zz&a` : ''}`, headers }
  const body = Buffer.from(text, 'latin1')
  const bytes = rendered({ ...draft, body }, random)
  const isProtected = method === 'POST' || method === 'PATCH'
  const isGuarded = isProtected && path !== '/nowhere' && path !== '/counter'
  const expectation = isGuarded && isRefused ? 'refused' : 'sound'
  return { method, path, tenant, sentKey: key?.sent, key: isEarly ? undefined : key?.key, expectation, body, bytes }
}

function keyLinesFrom(random: Random): readonly [{ readonly sent: string; readonly key: string } | undefined, readonly string[]] {
  if (random.chance(0.06)) return [undefined, []]
  if (random.chance(0.06)) return [undefined, [`Idempotency-Key: ${random.pick(invalidKeys)}`]]
  const key = keyOf(random)
  if (random.chance(0.03)) return [undefined, [`Idempotency-Key: ${key.sent}`, `idempotency-key: ${keyOf(random).sent}`]]
  const name = random.pick(['Idempotency-Key', 'idempotency-key', 'IDEMPOTENCY-KEY'])
  return [key, [`${name}: ${random.pick(['', '  ', '\t'])}${key.sent}${random.pick(['', ' '])}`]]
}

function rendered({ method, path, query, headers, body }: Draft, random: Random): Buffer {
  const isChunked = random.chance(0.2) && body.length > 0
  const framing = isChunked
    ? ['Transfer-Encoding: chunked']
    : body.length > 0 || method !== 'GET'
      ? [`Content-Length: ${body.length}`]
      : []
  const head = [`${method} ${path}${query} HTTP/1.1`, 'Host: fixture', ...headers, ...framing].join('\r\n')
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), isChunked ? chunked(body, random) : body])
}

function chunked(body: Buffer, random: Random): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length;) {
    const chunk = body.subarray(at, at + random.between(1, body.length))
    const extension = random.chance(0.2) ? ';a="b"' : ''
    parts.push(Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`), chunk, Buffer.from('\r\n'))
    at += chunk.length
  }
  return Buffer.concat([
    ...parts,
    Buffer.from(random.chance(0.2) ? '0\r\nX-Trailer: 1\r\nIdempotency-Key: t\r\n\r\n' : '0\r\n\r\n'),
  ])
}

/** What breaks a request: its bytes, and what they become. */
const breakages: readonly ((text: string, random: Random) => string)[] = [
  (text, random) => noise(random, random.between(1, 200)) + text,
  (text) => text.replace('POST ', 'P OST '),
  (text) => text.replace('HTTP/1.1', 'HTTP/9.9'),
  (text) => text.replace(' HTTP/1.1', ''),
  (text) => text.replace('Host: fixture\r\n', ''),
  (text) => text.replace('Host: fixture', 'Host: fixture\r\nHost: other'),
  (text) => text.replace('Host: fixture', 'no colon here'),
  (text) => text.replace('Host: fixture', 'Host: fixture\r\n folded'),
  (text) => text.replace('Host: fixture', 'Host: fix\0ture'),
  (text) => text.replace('Host: fixture', `Host: fixture\r\nX-Large: ${'x'.repeat(20_000)}`),
  (text) => text.replace('Host: fixture', `Host: fixture${Array.from({ length: 2_500 }, (_, n) => `\r\nH${n}: 1`).join('')}`),
  (text) => text.replace(/Content-Length: \d+/, 'Content-Length: -1'),
  (text) => text.replace(/Content-Length: \d+/, `Content-Length: ${'9'.repeat(30)}`),
  (text) => text.replace(/Content-Length: (\d+)/, 'Content-Length: $1\r\nContent-Length: 7'),
  (text) => text.replace(/Content-Length: (\d+)/, 'Content-Length: $1\r\nTransfer-Encoding: chunked'),
  (text) => text.replace(/Content-Length: \d+/, 'Content-Length: 2000000'),
  (text) => text.replace(/Content-Length: \d+/, 'Content-Length: 1'),
  (text) => text.replace(/Content-Length: \d+/, 'Transfer-Encoding: gzip, chunked'),
  (text) => text.replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked') + 'zz\r\nnot a chunk',
  (text) => text.replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked') + 'FFFFFFFFFFFFFFFFFF\r\n',
  (text) => text.replaceAll('\r\n', '\n'),
  (text, random) => text.slice(0, random.between(1, Math.max(1, text.length - 1))),
  () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
]

/** A request that is not HTTP, or not to its end; its key counts all the same where the server understands it. */
export function brokenFrom(random: Random): FuzzRequest {
  const request = requestFrom(random)
  const bytes = Buffer.from(random.pick(breakages)(request.bytes.toString('latin1'), random), 'latin1')
  return { ...request, expectation: 'broken', bytes }
}
