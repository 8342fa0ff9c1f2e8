import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
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
  readonly text: string
}

/** An answer whose marker says that it is a replay. */
export function isReplay({ headers }: Answered): boolean {
  return headers['idempotent-replayed'] === 'true'
}

/** The stable code of a problem. */
export function codeOf({ headers, text }: Answered): unknown {
  if (headers['content-type'] !== 'application/problem+json') return `no problem: ${text}`
  return (JSON.parse(text) as { code?: unknown }).code
}

/** Sends a request on a connection of its own and waits for the whole answer. */
export async function ask(url: string, question: Question = {}): Promise<Answered> {
  const response = await begin(url, question)
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  return { status: response.statusCode ?? 0, headers: response.headers, body, text: body.toString('latin1') }
}

/** Sends a request and waits for the head of the answer. */
export async function begin(url: string, question: Question = {}): Promise<IncomingMessage> {
  const { method = 'POST', path = '/echo', key, token, headers = {}, body } = question
  const type = typeof body === 'string' ? { 'content-type': 'application/json' } : {}
  const sent = request(`${url}${path}`, {
    method,
    agent: false,
    headers: {
      ...type,
      ...(body === undefined || 'transfer-encoding' in headers ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  })
  sent.end(body)
  const [response] = (await eventOf(sent, 'response')) as [IncomingMessage]
  return response
}

/** Sends these bytes on a connection of their own, and gives what comes back until the server closes it. */
export async function sendRaw(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
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
