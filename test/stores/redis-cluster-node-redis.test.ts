import { after, describe, test } from 'node:test'
import { redisMissing, startCluster } from '../../scripts/servers/redis.ts'
import { storeContract } from 'onceward/testing'
import { databaseOn, nodeRedisCluster } from './redis-support.ts'

if (redisMissing === undefined) {
  const cluster = await startCluster()
  const [one, other] = [await nodeRedisCluster(cluster.nodes), await nodeRedisCluster(cluster.nodes)]
  after(async () => {
    await Promise.all([one.close(), other.close()])
    await cluster.stop()
  })
  describe('on a Redis Cluster by node-redis', () => {
    storeContract(test, databaseOn(one.client, other.client, cluster.flush))
  })
} else test('the contract on a Redis Cluster by node-redis', { skip: redisMissing }, () => {})
