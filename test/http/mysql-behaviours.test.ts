import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import { startFixture } from '../fixture/start.ts'
import { freshPath, killAll, startChild, type Child } from './child.ts'
import { isReplay } from '../../src/testing/http/ask.ts'
import { httpContract } from 'onceward/testing'

const skip = (await hasMariadb()) ? false : notRun
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => {
  killAll()
  await server?.stop()
})

// Most of them wait.
suite('express on MariaDB', { concurrency: 4, skip }, () =>
  httpContract(test, 'express on MariaDB', async (args) =>
    startFixture(['--framework', 'express', '--store', (await server.database()).url, ...args]),
  ),
)

suite('processes on MariaDB', { skip }, () => {
  test('two processes of Express on one MySQL database are one: replays, identical requests at once, and a restart', async () => {
    const start = await sharing(['--wait-ms', '30000'])
    const [first, other] = await Promise.all([start(), start()])
    const answer = await first.ask({ key: 'k1', body: '1' })
    assert.ok(isReplay(await other.ask({ key: 'k1', body: '1' })))
    const asked = Array.from({ length: 100 }, (_, index) => (index % 2 ? first : other).ask({ path: '/slow?ms=100', key: 'k2' }))
    assert.deepEqual([...new Set((await Promise.all(asked)).map(({ text }) => text))], ['slept:100 effect:2'])
    assert.equal(await first.end('SIGTERM'), 0)
    const again = await start()
    const replay = await again.ask({ key: 'k1', body: '1' })
    assert.deepEqual([replay.text, isReplay(replay)], [answer.text, true])
    assert.equal(await again.effects(), 2)
    await Promise.all([again.end('SIGTERM'), other.end('SIGTERM')])
  })

  test('after a crash of a process on MySQL the retry runs again where nothing was settled, and replays where it was', async () => {
    const start = await sharing(['--lease-ms', '500'])
    let child = await start()
    for (const [when, effects] of [
      ['before', 1],
      ['after', 3],
      ['committed', 4],
    ] as const) {
      await assert.rejects(child.ask({ path: `/crash?when=${when}`, key: `k-${when}`, body: '1' }))
      assert.equal(await child.end(), 'SIGKILL')
      child = await start()
      const answer = await child.ask({ path: `/crash?when=${when}`, key: `k-${when}`, body: '1' })
      assert.deepEqual([answer.status, answer.text, isReplay(answer)], [201, '1', when === 'committed'], when)
      assert.equal(await child.effects(), effects, when)
    }
    await child.end('SIGTERM')
  })
})

/** Starts processes on one database, with one count of effects. */
async function sharing(more: readonly string[]): Promise<() => Promise<Child>> {
  const { url } = await server.database()
  const files = ['--store', url, '--effects', freshPath('effects.jsonl')]
  return () => startChild(['--framework', 'express', ...files, ...more])
}
