import { join } from 'node:path'
import { Child } from './child.ts'
import type { StreamApi } from './servers/stream.ts'

/** What a streamed answer costs of memory, with Onceward before its handler and without. */
export interface StreamMemory {
  /** The peak while it flows, over the memory at rest. Bytes. */
  readonly bare: number
  readonly onceward: number
}

/** Streams one large answer from each of two processes that have done nothing else, and checks what came. */
export async function streamMemory(
  bytes: number,
  { directory, round }: { directory: string; round: number },
): Promise<StreamMemory> {
  const bare = await grown(new Child<StreamApi>('stream', 'bare'), bytes)
  const onceward = await grown(new Child<StreamApi>('stream', 'onceward', join(directory, `stream-${round}.db`)), bytes)
  return { bare, onceward }
}

async function grown(server: Child<StreamApi>, bytes: number): Promise<number> {
  try {
    const port = await server.ask('port')
    // Its code is compiled, and its first pages are there.
    await streamed(port, 1_048_576, 'small')
    const rest = await server.ask('rest')
    await streamed(port, bytes, 'large')
    return (await server.ask('peak')) - rest
  } finally {
    await server.stop()
  }
}

async function streamed(port: number, bytes: number, key: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/stream?bytes=${bytes}`, {
    method: 'POST',
    headers: { 'idempotency-key': key },
  })
  let at = 0
  for await (const chunk of response.body ?? []) at = checked(chunk, at)
  if (response.status !== 200 || at !== bytes) throw new Error(`${bytes} bytes are due, and ${at} came with ${response.status}`)
}

/** The bytes of each chunk say which it is. @returns where the next one begins */
function checked(chunk: Uint8Array, at: number): number {
  const first = chunk[0]
  const last = chunk.at(-1)
  const numberAt = (position: number): number => Math.floor(position / 65_536) % 251
  if (first !== numberAt(at) || last !== numberAt(at + chunk.length - 1))
    throw new Error(`not the bytes that were sent, at ${at}`)
  return at + chunk.length
}
