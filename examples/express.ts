// One line before an Express handler: node --conditions=onceward-source examples/express.ts
import { createServer } from 'node:http'
import express from 'express'
import type { Request } from 'express'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/express'
import { sqlite } from 'onceward/sqlite'
import { sendTwice } from './send-twice.ts'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
const orders: unknown[] = []

const callerOf = (request: Request): string => request.get('authorization') ?? 'anonymous'

const app = express()
app.use(express.json())
app.post('/orders', idempotent({ once, scope: callerOf }), (request, response) => {
  orders.push(request.body)
  response.status(201).json({ order: orders.length })
})

await sendTwice(createServer(app))
await once.close()
