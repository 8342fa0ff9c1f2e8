// One hook before a Fastify handler: node --conditions=onceward-source examples/fastify.ts
import { fastify, type FastifyRequest } from 'fastify'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/fastify'
import { sqlite } from 'onceward/sqlite'
import { sendTwice } from './send-twice.ts'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
const orders: unknown[] = []

const callerOf = (request: FastifyRequest): string => request.headers.authorization ?? 'anonymous'

const app = fastify()
app.post('/orders', { preHandler: idempotent({ once, scope: callerOf }) }, async (request, reply) => {
  orders.push(request.body)
  return reply.code(201).send({ order: orders.length })
})

await app.ready()
await sendTwice(app.server)
await once.close()
