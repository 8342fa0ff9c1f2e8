import { after, describe, test } from 'node:test'
import { redisMissing, startRedis } from '../../scripts/servers/redis.ts'
import { storeContract } from 'onceward/testing'
import { databaseOn, ioredisOn } from './redis-support.ts'

if (redisMissing === undefined) {
  const server = await startRedis()
  const [one, other] = [ioredisOn(server), ioredisOn(server)]
  after(async () => {
    await Promise.all([one.close(), other.close()])
    await server.stop()
  })
  describe('on Redis by ioredis', () => {
    storeContract(
      test,
      databaseOn(one.client, other.client, async () => server.command('FLUSHALL')),
    )
  })
} else test('the contract on Redis by ioredis', { skip: redisMissing }, () => {})
