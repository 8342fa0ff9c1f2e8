// One line before a Koa handler: node --conditions=onceward-source examples/koa.ts
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { Router } from '@koa/router'
import Koa, { type Context } from 'koa'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/koa'
import { sqlite } from 'onceward/sqlite'
import { sendTwice } from './send-twice.ts'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
const orders: unknown[] = []

const callerOf = (ctx: Context): string => ctx.get('authorization') || 'anonymous'

const router = new Router()
router.post('/orders', idempotent({ once, scope: callerOf }), async (ctx) => {
  orders.push(await json(ctx.req))
  ctx.status = 201
  ctx.body = { order: orders.length }
})

const app = new Koa().use(router.routes()).callback()
await sendTwice(createServer((request, response) => void app(request, response)))
await once.close()
