import { suite, test } from 'node:test'
import { httpContract } from './contract/http-contract.ts'
import { startFixture } from '../fixture/start.ts'

// Most of them wait.
suite('hono on memory', { concurrency: 4 }, () =>
  httpContract(test, 'hono on memory', (args) => startFixture(['--framework', 'hono', ...args])),
)
