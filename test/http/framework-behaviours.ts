import { mkdtempSync } from 'node:fs'
import { suite, test } from 'node:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { httpContract } from 'onceward/testing'
import { startFixture } from '../fixture/start.ts'
import type { Framework } from '../fixture/options.ts'
import { deviations } from './deviations.ts'

const freshFile = (): string => `sqlite:${join(mkdtempSync(join(tmpdir(), 'onceward-')), 'onceward.db')}`

/** Shows every behaviour of the door on this framework and store. */
export function showBehaviours(framework: Framework, store: 'memory' | 'SQLite'): void {
  const name = `${framework} on ${store}`
  const start = (args: readonly string[]): ReturnType<typeof startFixture> =>
    startFixture(['--framework', framework, '--store', store === 'memory' ? 'memory' : freshFile(), ...args])
  // Most of them wait.
  suite(name, { concurrency: 4 }, () => httpContract(test, name, start, { deviations: deviations[framework] ?? {} }))
}
