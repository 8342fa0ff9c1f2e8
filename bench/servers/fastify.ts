// A Fastify server on a free port: `bare`, or with Onceward on `postgres` or `redis` at the address given.
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { onceward, type Store } from 'onceward'
import { idempotent } from 'onceward/fastify'
import { postgres } from 'onceward/postgres'
import { redis } from 'onceward/redis'
import { Pool } from 'pg'
import { outcome, poolMax } from '../work.ts'
import { serveParent } from './serve.ts'

/** What stands behind the server. */
export type Behind = 'bare' | 'postgres' | 'redis'

let effects = 0

const [behind = 'bare', address = ''] = process.argv.slice(2)
const { store, end } = storeOf(behind as Behind)
const once = store && onceward({ store })
await once?.open()

const app = Fastify()
const guard = once && idempotent({ once, scope: ({ headers }) => String(headers['x-account'] ?? 'nobody') })
app.post('/charges', guard === undefined ? {} : { preHandler: guard }, async (_request, reply) => {
  effects += 1
  reply.code(201)
  return outcome
})
await app.ready()

await serveParent(
  app.server,
  () => effects,
  async () => {
    await app.close()
    await once?.close()
    await end()
  },
)

function storeOf(kind: Behind): { readonly store?: Store; readonly end: () => Promise<void> } {
  switch (kind) {
    case 'bare':
      return { end: async () => undefined }
    case 'postgres': {
      const pool = new Pool({ connectionString: address, max: poolMax })
      pool.on('error', () => undefined)
      return { store: postgres(pool), end: () => pool.end() }
    }
    case 'redis': {
      const client = new Redis(address)
      return { store: redis(client), end: async () => client.disconnect() }
    }
  }
}
