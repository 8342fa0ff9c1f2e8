import { createGzip, type Gzip } from 'node:zlib'
import type { RequestHandler } from 'express'

/** Does to a response what the `compression` package does: replaces its methods, and decides when the headers are rendered. */
export const compression: RequestHandler = (request, response, next) => {
  const write = response.write.bind(response)
  const end = response.end.bind(response)
  const writeHead = response.writeHead.bind(response)
  let gzip: Gzip | undefined
  let isDecided = false
  const decide = (): void => {
    if (isDecided) return
    isDecided = true
    if (!String(request.headers['accept-encoding']).includes('gzip') || response.hasHeader('content-encoding')) return
    response.setHeader('Content-Encoding', 'gzip')
    response.removeHeader('Content-Length')
    gzip = createGzip()
    gzip.on('data', (chunk: Buffer) => void (write(chunk, 'utf8') || gzip?.pause()))
    gzip.on('end', () => end(undefined, 'utf8'))
    response.on('drain', () => gzip?.resume())
  }
  response.writeHead = function decidedWriteHead(...given: Parameters<typeof writeHead>) {
    decide()
    return writeHead(...given)
  } as typeof writeHead
  response.write = function compressedWrite(chunk: string | Buffer, encoding?: BufferEncoding) {
    if (!response.headersSent) response.writeHead(response.statusCode)
    return gzip === undefined ? write(chunk, encoding ?? 'utf8') : gzip.write(Buffer.from(chunk as string, encoding))
  } as typeof write
  response.end = function compressedEnd(chunk?: string | Buffer, encoding?: BufferEncoding) {
    if (!response.headersSent) response.writeHead(response.statusCode)
    if (gzip === undefined) return end(chunk, encoding ?? 'utf8')
    if (chunk) gzip.end(Buffer.from(chunk as string, encoding))
    else gzip.end()
    return response
  } as typeof end
  next()
}
