// Around a handler of node:http, without a framework: node --conditions=onceward-source examples/node.ts
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { onceward } from 'onceward'
import { idempotent } from 'onceward/node'
import { sqlite } from 'onceward/sqlite'
import { sendTwice } from './send-twice.ts'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
let orders = 0

const callerOf = (request: IncomingMessage): string => request.headers.authorization ?? 'anonymous'
const server = createServer(
  idempotent({ once, scope: callerOf }, (_request: IncomingMessage, response: ServerResponse) => {
    orders += 1
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ order: orders }))
  }),
)

await sendTwice(server)
await once.close()
