import { suite, test } from 'node:test'
import { httpContract } from './contract/http-contract.ts'
import { startFixture } from '../fixture/start.ts'

// Most of them wait.
suite('express4 on memory', { concurrency: 4 }, () =>
  httpContract(test, 'express4 on memory', (args) => startFixture(['--framework', 'express4', ...args])),
)
