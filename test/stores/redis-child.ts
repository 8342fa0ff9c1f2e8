/** A process of fifty callers of one operation, told in its arguments: the client and the port. It says what each was given. */
import { createClient } from 'redis'
import { Redis } from 'ioredis'
import { onceward } from 'onceward'
import { redis } from 'onceward/redis'

const [name, port] = process.argv.slice(2)
const counter = new Redis({ host: '127.0.0.1', port: Number(port) })
const nodeRedis = createClient({ socket: { host: '127.0.0.1', port: Number(port) } })
await nodeRedis.connect()
const once = onceward({ store: redis(name === 'ioredis' ? counter : nodeRedis) })
const effect = async (): Promise<string> => {
  await new Promise((resolve) => setTimeout(resolve, 200))
  return `effect ${await counter.incr('effects')}`
}
const calls = Array.from({ length: 50 }, async () => once.run({ scope: 'acme', name: 'charge', key: 'k' }, effect))
for (const value of await Promise.all(calls)) process.stdout.write(`${value}\n`)
await once.close()
counter.disconnect()
nodeRedis.destroy()
