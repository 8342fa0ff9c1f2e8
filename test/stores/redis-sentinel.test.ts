import { after, describe, test } from 'node:test'
import { redisMissing, startSentinel } from '../../scripts/servers/redis.ts'
import { storeContract } from 'onceward/testing'
import { databaseOn, ioredisThrough } from './redis-support.ts'

if (redisMissing === undefined) {
  const group = await startSentinel()
  const [one, other] = [ioredisThrough(group.name, group.sentinels), ioredisThrough(group.name, group.sentinels)]
  after(async () => {
    await Promise.all([one.close(), other.close()])
    await group.stop()
  })
  describe('on Redis through Sentinel', () => {
    storeContract(
      test,
      databaseOn(one.client, other.client, async () => group.servers[0]?.command('FLUSHALL')),
    )
  })
} else test('the contract on Redis through Sentinel', { skip: redisMissing }, () => {})
