import { suite, test } from 'node:test'
import { httpContract } from './contract/http-contract.ts'
import { startFixture } from '../fixture/start.ts'

// Most of them wait.
suite('node on memory', { concurrency: 4 }, () =>
  httpContract(test, 'node on memory', (args) => startFixture(['--framework', 'node', ...args])),
)
