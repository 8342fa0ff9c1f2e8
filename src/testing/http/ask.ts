import { Agent, request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { once as eventOf } from 'node:events'

/** What is asked of the fixture. */
export interface Question {
  /** @default 'POST' */
  readonly method?: string
  /** @default '/echo' */
  readonly path?: string
  /** Sent as `Idempotency-Key`. */
  readonly key?: string
  /** Sent as a bearer token. */
  readonly token?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** Text is sent as JSON unless the headers say otherwise. */
  readonly body?: string | Buffer
}

/** What came back. */
export interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The body, a character a byte. */
  readonly text: string
}

/** An answer whose marker says that it is a replay. */
export function isReplay({ headers }: Answered): boolean {
  return headers['idempotent-replayed'] === 'true'
}

/** A JSON body. */
export function jsonOf({ body }: Answered): unknown {
  return JSON.parse(body.toString('utf8'))
}

/** A member of a JSON body; undefined where there is none. */
export function memberOf(answered: Answered, name: string): unknown {
  const body = jsonOf(answered)
  return typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined
}

/** The stable code of a problem. */
export function codeOf(answered: Answered): unknown {
  if (answered.headers['content-type'] !== 'application/problem+json') return `no problem: ${answered.text}`
  return memberOf(answered, 'code')
}

/** Sends a request on a connection of its own and waits for the whole answer. */
export async function ask(url: string, question: Question = {}): Promise<Answered> {
  return whole(await begin(url, question))
}

async function whole(response: IncomingMessage): Promise<Answered> {
  const chunks: Buffer[] = []
  response.on('data', (chunk: Buffer) => chunks.push(chunk))
  await eventOf(response, 'end')
  const body = Buffer.concat(chunks)
  return { status: response.statusCode ?? 0, headers: response.headers, body, text: body.toString('latin1') }
}

/** Sends a request and waits for the head of the answer. */
export function begin(url: string, question: Question = {}): Promise<IncomingMessage> {
  const { method = 'POST', path = '/echo', body } = question
  return new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { method, agent: new Agent({ keepAlive: false }), headers: headersOf(question) })
    sent.once('response', resolve)
    sent.once('error', reject)
    sent.end(body)
  })
}

function headersOf({ key, token, headers = {}, body }: Question): Readonly<Record<string, string | string[]>> {
  const type = typeof body === 'string' ? { 'content-type': 'application/json' } : {}
  const isFramed = body === undefined || 'transfer-encoding' in headers
  const given: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) given[name] = typeof value === 'string' ? value : [...value]
  return {
    ...type,
    ...(isFramed ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    ...(key === undefined ? {} : { 'idempotency-key': key }),
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...given,
  }
}

/** A connection on which one says what one likes. */
export async function connected(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await eventOf(socket, 'connect')
  return socket
}

/** Sends these bytes on a connection of their own, and gives what comes back until the server closes it. */
export async function sendRaw(url: string, bytes: string | Buffer): Promise<string> {
  const socket = await connected(url)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // A server that refuses what it has not read to its end may reset the connection; its answer is what counts.
  socket.on('error', () => {})
  socket.write(bytes)
  await eventOf(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}

/** A POST in HTTP/1.1's own words, after which the server closes the connection. */
export function rawPost(path: string, headers: readonly string[], body = ''): Buffer {
  const lines = [`POST ${path} HTTP/1.1`, 'Host: fixture', 'Connection: close', `Content-Length: ${body.length}`, ...headers]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1')
}
