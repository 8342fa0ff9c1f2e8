import { after, describe, test } from 'node:test'
import { redisMissing, startRedis } from '../../scripts/servers/redis.ts'
import { storeContract } from 'onceward/testing'
import { databaseOn, nodeRedisOn } from './redis-support.ts'

if (redisMissing === undefined) {
  const server = await startRedis()
  const [one, other] = [await nodeRedisOn(server), await nodeRedisOn(server)]
  after(async () => {
    await Promise.all([one.close(), other.close()])
    await server.stop()
  })
  describe('on Redis by node-redis', () => {
    storeContract(
      test,
      databaseOn(one.client, other.client, async () => server.command('FLUSHALL')),
    )
  })
} else test('the contract on Redis by node-redis', { skip: redisMissing }, () => {})
