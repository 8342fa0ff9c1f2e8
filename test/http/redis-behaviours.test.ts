import { after, before, suite, test } from 'node:test'
import { httpContract } from 'onceward/testing'
import { redisMissing, startRedis, type RedisServer } from '../../scripts/servers/redis.ts'
import { startFixture } from '../fixture/start.ts'
import { killAll } from './child.ts'
import { showProcesses } from './sharing.ts'

let server: RedisServer
before(async () => {
  if (redisMissing === undefined) server = await startRedis({ args: ['--databases', '512'] })
})
after(async () => {
  killAll()
  await server?.stop()
})
let databases = 0
const fresh = async (): Promise<string> => `${server.url}/${(databases += 1)}`

// Most of them wait.
suite('the door on Redis', { concurrency: 4, skip: redisMissing ?? false }, () => {
  httpContract(test, 'express on Redis', async (args) =>
    startFixture(['--framework', 'express', '--store', await fresh(), ...args]),
  )
  showProcesses('express', { name: 'Redis', fresh })
})
