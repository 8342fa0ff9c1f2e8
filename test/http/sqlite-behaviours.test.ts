import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { httpContract } from './contract/http-contract.ts'
import { startFixture } from '../fixture/start.ts'

// Most of them wait. What a framework has to do with a store is the same for all of them: one with and one without show it.
for (const framework of ['node', 'express', 'hono', 'fetch'])
  suite(`${framework} on SQLite`, { concurrency: 4 }, () =>
    httpContract(test, `${framework} on SQLite`, (args) =>
      startFixture(['--framework', framework, '--store', freshFile(), ...args]),
    ),
  )

function freshFile(): string {
  return `sqlite:${join(mkdtempSync(join(tmpdir(), 'onceward-')), 'onceward.db')}`
}
