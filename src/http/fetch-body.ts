import { isBytes } from '../core/bytes.ts'
import { joined } from './answer-copy.ts'
import type { BodyRefusal } from './protocol.ts'

const noBytes = new Uint8Array(0)

/**
 * The bytes of a request's body. They are read from a clone, so that the handler gets the very request that came, whatever its framework
 * has made of it, with its body as if untouched.
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array | BodyRefusal> {
  // Asked first: some servers lock the body of a request that was read when they are asked for it.
  if (request.bodyUsed) return 'consumed'
  const length = request.headers.get('content-length')
  if (length === '0' || request.body === null) return noBytes
  if (request.body.locked) return 'consumed'
  if (Number(length) > bytesMax) return 'too_large'
  try {
    return await readClone(request, bytesMax)
  } catch (error) {
    if (request.signal.aborted) return 'aborted'
    // A layer before this one may have broken the body off, for its length say: it waits for its own error.
    throw error
  }
}

async function readClone(request: Request, bytesMax: number): Promise<Uint8Array | BodyRefusal> {
  const reader = request.clone().body?.getReader()
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) {
    const chunk: unknown = read.value
    if (!isBytes(chunk)) throw new TypeError('the body of a request gave a chunk that is no Uint8Array')
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes <= bytesMax) continue
    // Not awaited: it waits for the other branch to be cancelled as well.
    reader?.cancel().catch(() => {})
    return 'too_large'
  }
  return joined(chunks)
}
