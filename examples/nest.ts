// A decorator on a Nest handler. Decorators are compiled, not stripped:
// npx tsc -p examples/tsconfig.json && node --conditions=onceward-source .cache/examples/examples/nest.js
import { Body, Controller, Module, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { onceward } from 'onceward'
import { Idempotent, type NestRequest } from 'onceward/nest'
import { sqlite } from 'onceward/sqlite'
import { sendTwice } from './send-twice.ts'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
const orders: unknown[] = []

const callerOf = (request: NestRequest): string => String(request.headers['authorization'] ?? 'anonymous')

@Controller('orders')
class OrdersController {
  @Post()
  @Idempotent({ once, scope: callerOf })
  create(@Body() order: unknown): { order: number } {
    orders.push(order)
    return { order: orders.length }
  }
}

@Module({ controllers: [OrdersController] })
class Shop {}

const app = await NestFactory.create(Shop, { logger: false })
await app.init()
await sendTwice(app.getHttpServer())
await once.close()
