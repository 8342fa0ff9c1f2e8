import { after, before, suite, test } from 'node:test'
import { httpContract } from 'onceward/testing'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import { showAtomic } from './atomic-cases.ts'
import { startFixture } from '../fixture/start.ts'
import { killAll } from './child.ts'
import { showProcesses } from './sharing.ts'

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => {
  killAll()
  await server?.stop()
})
const fresh = async (): Promise<string> => (await server.database()).url

// Most of them wait.
suite('the door on MariaDB', { concurrency: 4, skip }, () => {
  httpContract(test, 'express on MariaDB', async (args) =>
    startFixture(['--framework', 'express', '--store', await fresh(), ...args]),
  )
  showProcesses('express', { name: 'MariaDB', fresh })
  showAtomic('express', 'MariaDB', fresh)
})
