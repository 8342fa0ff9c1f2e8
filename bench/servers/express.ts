// An Express server on a free port: `bare`, or with Onceward `before` or `behind` express.json(), on the SQLite file given.
import { once as eventOf } from 'node:events'
import { createServer } from 'node:http'
import express, { type Request, type RequestHandler } from 'express'
import { onceward, type Once } from 'onceward'
import { idempotent } from 'onceward/express'
import { sqlite } from 'onceward/sqlite'
import { outcome } from '../work.ts'
import { answerParent } from './answer.ts'
import { httpApi } from './http.ts'

/** Where Onceward stands: nowhere, or where the request's bytes are not read yet, or where they are parsed. */
export type Place = 'bare' | 'before' | 'behind'

let effects = 0

const charge: RequestHandler = (_request, response) => {
  effects += 1
  response.status(201).json(outcome)
}

const [place = 'bare', path = ''] = process.argv.slice(2)
const once = place === 'bare' ? undefined : onceward({ store: sqlite(path) })
await once?.open()

const app = express()
app.post('/charges', handlers(place, once), charge)
const server = createServer(app).listen(0, '127.0.0.1')
await eventOf(server, 'listening')

answerParent(
  httpApi(server, () => effects),
  async () => {
    server.closeAllConnections()
    server.close()
    await once?.close()
  },
)

function handlers(where: string, protect: Once | undefined): RequestHandler[] {
  const parse = express.json()
  if (protect === undefined) return [parse]
  const guard = idempotent({ once: protect, scope: (request: Request) => request.get('x-account') ?? 'nobody' })
  return where === 'before' ? [guard, parse] : [parse, guard]
}
