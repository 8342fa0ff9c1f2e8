// Around a handler from Request to Response, as Bun, Deno, Workers and Next.js have them: node --conditions=onceward-source examples/fetch.ts
import { createAdaptorServer } from '@hono/node-server'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/fetch'
import { sqlite } from 'onceward/sqlite'
import { sendTwice } from './send-twice.ts'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
const orders: unknown[] = []

const callerOf = (request: Request): string => request.headers.get('authorization') ?? 'anonymous'

// In Next.js `export const POST = idempotent(…)` in a route.ts; in Bun and Deno `serve({ fetch: idempotent(…) })`.
const handler = idempotent({ once, scope: callerOf }, async (request) => {
  orders.push(await request.json())
  return Response.json({ order: orders.length }, { status: 201 })
})

await sendTwice(createAdaptorServer({ fetch: handler }))
await once.close()
