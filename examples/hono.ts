// One line before a Hono handler: node --conditions=onceward-source examples/hono.ts
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/hono'
import { sqlite } from 'onceward/sqlite'
import { sendTwice } from './send-twice.ts'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
const orders: unknown[] = []

const app = new Hono()
app.post('/orders', idempotent({ once, scope: (c) => c.req.header('authorization') ?? 'anonymous' }), async (c) => {
  orders.push(await c.req.json())
  return c.json({ order: orders.length }, 201)
})

await sendTwice(createAdaptorServer(app))
await once.close()
