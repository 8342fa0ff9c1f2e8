import { after, suite, test } from 'node:test'
import { httpContract } from 'onceward/testing'
import { showAtomic } from './atomic-cases.ts'
import { startFixture } from '../fixture/start.ts'
import { serverFor } from '../stores/postgres-support.ts'
import { killAll } from './child.ts'
import { showProcesses } from './sharing.ts'

const { server, skip } = await serverFor({ settings: ['max_connections=300'] })
after(killAll)
const fresh = async (): Promise<string> => (await server?.database()) ?? 'none'

// Most of them wait.
suite('the door on Postgres', { concurrency: 4, skip }, () => {
  httpContract(test, 'express on Postgres', async (args) =>
    startFixture(['--framework', 'express', '--store', await fresh(), ...args]),
  )
  showProcesses('express', { name: 'Postgres', fresh })
  showAtomic('express', 'Postgres', fresh)
})
