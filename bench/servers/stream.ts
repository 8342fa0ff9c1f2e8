// An Express server that streams an answer as large as it is asked for: bare, or with Onceward on the SQLite file given.
import { createServer } from 'node:http'
import { once as eventOf } from 'node:events'
import express, { type Request, type Response } from 'express'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/express'
import { sqlite } from 'onceward/sqlite'
import { collectGarbage } from '../measure.ts'
import { answerParent } from './answer.ts'
import { portOf } from './serve.ts'

const chunkBytes = 65_536
const [place = 'bare', path = ''] = process.argv.slice(2)
const once = place === 'bare' ? undefined : onceward({ store: sqlite(path) })
await once?.open()

let rssPeak = 0

async function stream(request: Request, response: Response): Promise<void> {
  const chunks = Number(request.query['bytes']) / chunkBytes
  response.status(200).type('application/octet-stream')
  for (let index = 0; index < chunks; index += 1) {
    // Each with a number of its own: what is held back must not be one and the same buffer.
    if (!response.write(Buffer.alloc(chunkBytes, index % 251))) await eventOf(response, 'drain')
    if (index % 8 === 0) look()
  }
  response.end(look)
}

const app = express()
const guard = once === undefined ? [] : [idempotent<Request>({ once, scope: () => 'acme' })]
app.post('/stream', ...guard, (request, response) => stream(request, response))
const server = createServer(app).listen(0, '127.0.0.1')
await eventOf(server, 'listening')

function look(): void {
  rssPeak = Math.max(rssPeak, process.memoryUsage.rss())
}

const api = {
  port(): number {
    return portOf(server)
  },
  /** Of memory, once garbage is collected. From here on the peak is looked for. Bytes. */
  rest(): number {
    collectGarbage()
    rssPeak = process.memoryUsage.rss()
    return rssPeak
  },
  /** The most memory held since. Bytes. */
  peak(): number {
    look()
    return rssPeak
  },
}

/** What this process can be asked. */
export type StreamApi = typeof api

answerParent(api, async () => {
  server.closeAllConnections()
  server.close()
  await once?.close()
})
