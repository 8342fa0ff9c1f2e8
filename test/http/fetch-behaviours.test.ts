import { suite, test } from 'node:test'
import { httpContract } from './contract/http-contract.ts'
import { startFixture } from '../fixture/start.ts'

// Most of them wait.
suite('fetch on memory', { concurrency: 4 }, () =>
  httpContract(test, 'fetch on memory', (args) => startFixture(['--framework', 'fetch', ...args])),
)
