/** One answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number
  /** Lower-case names; of a name that was sent twice the last value. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

const headEnd = Buffer.from('\r\n\r\n')

/** Takes answers apart as they come: strictly, since what a server says must be HTTP whatever it was told. */
export class AnswerReader {
  #rest: Buffer = Buffer.alloc(0)
  readonly #methods: readonly string[]
  readonly answers: RawAnswer[] = []

  /** @param methods of the requests that are answered, in order: HEAD has no body */
  constructor(methods: readonly string[]) {
    this.#methods = methods
  }

  /** @throws Error for what is no answer */
  add(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    for (let answer = this.#next(false); answer !== undefined; answer = this.#next(false)) this.answers.push(answer)
  }

  /** The connection has closed, which ends an answer without a length. */
  end(): void {
    const last = this.#next(true)
    if (last !== undefined) this.answers.push(last)
  }

  #next(isClosed: boolean): RawAnswer | undefined {
    const end = this.#rest.indexOf(headEnd)
    if (end < 0) return undefined
    const [statusLine = '', ...lines] = this.#rest.toString('latin1', 0, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1])
    if (Number.isNaN(status)) throw new Error(`no answer begins like ${JSON.stringify(statusLine.slice(0, 100))}`)
    const rest = this.#rest.subarray(end + 4)
    if (status < 200) {
      this.#rest = rest
      return this.#next(isClosed)
    }
    const headers = new Map(lines.map(headerOf))
    const found = this.#body(status, headers, rest, isClosed)
    if (found === undefined) return undefined
    this.#rest = found.rest
    return { status, headers, body: found.body }
  }

  #body(status: number, headers: ReadonlyMap<string, string>, rest: Buffer, isClosed: boolean): Cut | undefined {
    if (status === 204 || status === 304 || this.#methods[this.answers.length] === 'HEAD') return { body: Buffer.alloc(0), rest }
    if (headers.get('transfer-encoding') === 'chunked') return dechunked(rest)
    const length = headers.get('content-length')
    if (length === undefined)
      return isClosed || headers.get('connection') !== 'close' ? { body: rest, rest: Buffer.alloc(0) } : undefined
    return rest.length < Number(length)
      ? undefined
      : { body: rest.subarray(0, Number(length)), rest: rest.subarray(Number(length)) }
  }
}

interface Cut {
  readonly body: Buffer
  readonly rest: Buffer
}

function headerOf(line: string): [string, string] {
  const [, name = '', value = ''] = /^([!#$%&'*+\-.^_`|~\w]+): ?(.*)$/.exec(line) ?? []
  if (name === '') throw new Error(`no header looks like ${JSON.stringify(line.slice(0, 100))}`)
  return [name.toLowerCase(), value]
}

function dechunked(bytes: Buffer): Cut | undefined {
  const chunks: Buffer[] = []
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (Number.isNaN(size)) throw new Error('a chunk of an answer has no size')
    const end = lineEnd + 2 + size + 2
    if (bytes.length < end) return undefined
    if (size === 0) return { body: Buffer.concat(chunks), rest: bytes.subarray(end) }
    chunks.push(bytes.subarray(lineEnd + 2, end - 2))
    at = end
  }
}
