import { isBytes } from '../core/bytes.ts'
import { joined } from './answer-copy.ts'
import type { BodyRefusal } from './protocol.ts'
import type { NodeRequest } from './node-types.ts'
import type { RequestBody } from './request-fingerprint.ts'

const noBytes = new Uint8Array(0)

/**
 * The body of a request, as it is compared. Where nobody has read it, it is read and put back, so that whoever comes behind finds it as if
 * untouched; where a body parser has, what it left in `body`, `file` and `files` of `parsed` is the input.
 */
export function readBody(
  request: NodeRequest,
  bytesMax: number,
  parsed: object,
): RequestBody | BodyRefusal | Promise<RequestBody | BodyRefusal> {
  const { headers } = request
  const length = headers['content-length']
  if (headers['transfer-encoding'] === undefined && (length === undefined || Number(length) === 0)) return noBytes
  if (request.readableDidRead || request.readableEnded) return parsedBody(parsed)
  // Somebody listens, or decodes, and has been told nothing yet: read and put back, the body would reach that listener twice.
  if (request.listenerCount('data') > 0 || request.listenerCount('readable') > 0 || request.readableEncoding !== null)
    return 'consumed'
  if (Number(length) > bytesMax) return 'too_large'
  const reader = new BodyReader(request, bytesMax)
  const arrived = reader.take()
  if (arrived !== undefined) return arrived
  return request.destroyed ? 'aborted' : reader.arrival()
}

/** Lets what nobody has read of a request go, so that it does not stay in memory as long as the connection lives. */
export function dropUnread(request: NodeRequest): void {
  if (request.readableFlowing === null && !request.readableEnded && !request.destroyed) request.resume()
}

/**
 * Takes what has arrived, and when that is all puts the whole back in the same tick: Node permits it until `end` was emitted, which it does
 * a tick after the last byte was taken. An empty stream is never read: that would be its end.
 */
class BodyReader {
  readonly #request: NodeRequest
  readonly #bytesMax: number
  readonly #chunks: Uint8Array[] = []
  #bytes = 0

  constructor(request: NodeRequest, bytesMax: number) {
    this.#request = request
    this.#bytesMax = bytesMax
  }

  /** Undefined while there is more to come. */
  take(): Uint8Array | BodyRefusal | undefined {
    const request = this.#request
    while (request.readableLength > 0) {
      const chunk = request.read()
      if (!isBytes(chunk)) return 'consumed'
      this.#chunks.push(chunk)
      this.#bytes += chunk.length
      if (this.#bytes > this.#bytesMax) return 'too_large'
    }
    return request.complete ? this.#putBack() : undefined
  }

  /** Waits for what is still to come. */
  arrival(): Promise<Uint8Array | BodyRefusal> {
    const request = this.#request
    // Sets the stream reading, so that listening does not: Node would then read once more a tick later, and a body that turns out
    // to be empty would end before anybody behind us listens.
    request.read(0)
    return new Promise((resolve) => {
      const done = (body: Uint8Array | BodyRefusal): void => {
        request.off('readable', readable)
        request.off('close', closed)
        resolve(body)
      }
      const readable = (): void => {
        const body = this.take()
        if (body !== undefined) done(body)
      }
      const closed = (): void => done('aborted')
      request.on('readable', readable)
      request.on('close', closed)
    })
  }

  #putBack(): Uint8Array {
    const body = joined(this.#chunks)
    if (body.length > 0) this.#request.unshift(body)
    return body
  }
}

/** What body parsers leave behind. */
function parsedBody(parsed: object): RequestBody | BodyRefusal {
  const body: unknown = 'body' in parsed ? parsed.body : undefined
  const uploads = uploadsOf(parsed)
  if (uploads === 'elsewhere' || (body === undefined && uploads.length === 0)) return 'consumed'
  return { parsed: uploads.length === 0 ? body : { body, uploads } }
}

interface Upload {
  readonly name: unknown
  readonly fileName: unknown
  readonly type: unknown
  readonly bytes: Uint8Array
}

/** The files that multer and its like have read; `elsewhere` where one is not in memory: its name alone would not tell it from another. */
function uploadsOf(parsed: object): readonly Upload[] | 'elsewhere' {
  const given = ['file' in parsed ? parsed.file : undefined, 'files' in parsed ? parsed.files : undefined]
  const uploads: Upload[] = []
  for (const [name, file] of given.flatMap((files) => named(files))) {
    const bytes = memberOf(file, 'buffer') ?? memberOf(file, 'data')
    if (!isBytes(bytes)) return 'elsewhere'
    const fileName = memberOf(file, 'originalname') ?? memberOf(file, 'name')
    uploads.push({ name: memberOf(file, 'fieldname') ?? name, fileName, type: memberOf(file, 'mimetype'), bytes })
  }
  return uploads
}

/** One file, a list of them, or files and lists by field. */
function named(files: unknown, field: unknown = ''): [name: unknown, file: object][] {
  if (typeof files !== 'object' || files === null) return []
  if (Array.isArray(files)) return files.flatMap((file: unknown) => named(file, field))
  const isFile = 'mimetype' in files || 'size' in files
  return isFile ? [[field, files]] : Object.entries(files).flatMap(([name, file]) => named(file, name))
}

function memberOf(file: object, name: string): unknown {
  return Reflect.get(file, name)
}
