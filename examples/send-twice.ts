import { once as eventOf } from 'node:events'
import type { Server } from 'node:net'

/** Starts the server on a free port, sends it the same order twice, prints both answers, and closes it. */
export async function sendTwice(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await eventOf(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  for (const time of ['first', 'again']) {
    const response = await fetch(`http://127.0.0.1:${address.port}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'order-1' },
      body: JSON.stringify({ item: 'tea' }),
    })
    const replayed = response.headers.has('idempotent-replayed') ? ', replayed' : ''
    console.log(`${time}: ${response.status} ${await response.text()}${replayed}`)
  }
  server.close()
}
