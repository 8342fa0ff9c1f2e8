import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { isReplay } from '../../src/testing/http/ask.ts'
import type { Framework } from '../fixture/options.ts'
import { freshPath, startChild, type Child } from './child.ts'

/** A store that several processes can share. */
export interface SharedStore {
  /** What it is called in the tests' names. */
  readonly name: string
  /** Makes a clean one: what the fixture's `--store` is to be. */
  readonly fresh: () => Promise<string>
  /** Stops a process's time where it does not keep the others from going on. @default at once */
  readonly pause?: (child: Child, store: string) => Promise<void>
}

const pauseAtOnce = async ({ process }: Child): Promise<void> => void process.kill('SIGSTOP')

/** Shows that processes of this framework on one store are one: side by side, one after the other, stopped and killed. */
export function showProcesses(framework: Framework, { name, fresh, pause = pauseAtOnce }: SharedStore): void {
  /** Starts processes on one clean store, with one count of effects. */
  const sharing = async (...more: readonly string[]): Promise<{ store: string; start: () => Promise<Child> }> => {
    const store = await fresh()
    const shared = ['--framework', framework, '--store', store, '--effects', freshPath('effects.jsonl'), ...more]
    return { store, start: async () => startChild(shared) }
  }

  test(`${framework} on ${name}: two processes are one: replays, identical requests at once, and a restart`, async () => {
    const { start } = await sharing('--wait-ms', '30000')
    const [first, other] = await Promise.all([start(), start()])
    const answer = await first.ask({ key: 'k1', body: '1' })
    assert.ok(isReplay(await other.ask({ key: 'k1', body: '1' })))
    const asked = Array.from({ length: 100 }, (_, index) => (index % 2 ? first : other).ask({ path: '/slow?ms=100', key: 'k2' }))
    assert.deepEqual([...new Set((await Promise.all(asked)).map(({ text }) => text))], ['slept:100 effect:2'])
    assert.equal(await first.end('SIGTERM'), 0)
    const again = await start()
    const replay = await again.ask({ key: 'k1', body: '1' })
    assert.deepEqual([replay.text, replay.headers.location, isReplay(replay)], [answer.text, '/echo/1', true])
    assert.equal(await again.effects(), 2)
    await Promise.all([again.end('SIGTERM'), other.end('SIGTERM')])
  })

  test(`${framework} on ${name}: a process that stands still longer than its lease answers with what its successor did`, async () => {
    const { store, start } = await sharing('--lease-ms', '600', '--wait-ms', '30000')
    const [late, successor] = await Promise.all([start(), start()])
    const request = { path: '/slow?ms=1500', key: 'k1' }
    const answer = late.ask(request)
    await sleep(300)
    await pause(late, store)
    const taken = await successor.ask(request)
    late.process.kill('SIGCONT')
    const outdone = await answer
    assert.equal(taken.text, 'slept:1500 effect:1')
    assert.deepEqual([outdone.text, isReplay(outdone)], [taken.text, true])
    assert.equal((await successor.ask(request)).text, taken.text)
    await Promise.all([late.end('SIGTERM'), successor.end('SIGTERM')])
  })

  test(`${framework} on ${name}: after a crash another process runs again where nothing was settled, and replays where it was`, async () => {
    const { start } = await sharing('--lease-ms', '500', '--wait-ms', '30000')
    const survivor = await start()
    for (const [when, effects] of [
      ['before', 1],
      ['after', 3],
      ['committed', 4],
    ] as const) {
      const request = { path: `/crash?when=${when}`, key: `k-${when}`, body: '1' }
      const dying = await start()
      await assert.rejects(dying.ask(request))
      assert.equal(await dying.end(), 'SIGKILL')
      const answer = await survivor.ask(request)
      assert.deepEqual([answer.status, answer.text, isReplay(answer)], [201, '1', when === 'committed'], when)
      assert.equal(await survivor.effects(), effects, when)
    }
    const restarted = await start()
    assert.ok(isReplay(await restarted.ask({ path: '/crash?when=before', key: 'k-before', body: '1' })))
    await Promise.all([survivor.end('SIGTERM'), restarted.end('SIGTERM')])
  })
}
