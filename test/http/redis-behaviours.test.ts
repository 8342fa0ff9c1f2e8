import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { redisMissing, startRedis } from '../../scripts/servers/redis.ts'
import { freshPath, killAll, startChild, type Child } from './child.ts'
import { httpContract } from 'onceward/testing'
import { isReplay } from '../../src/testing/http/ask.ts'
import { startFixture } from '../fixture/start.ts'

if (redisMissing === undefined) {
  const server = await startRedis()
  // One server for all, emptied for each behaviour, so that they are shown one by one.
  const fresh = async (): Promise<string[]> => {
    await server.command('FLUSHALL')
    return ['--framework', 'express', '--store', server.url]
  }
  after(async () => {
    killAll()
    await server.stop()
  })

  suite('express on Redis', () =>
    httpContract(test, 'express on Redis', async (args) => startFixture([...(await fresh()), ...args])),
  )

  suite('two processes on one Redis', () => {
    const sharing = async (more: readonly string[]): Promise<() => Promise<Child>> => {
      const store = await fresh()
      const effects = freshPath('effects.jsonl')
      return () => startChild([...store, '--effects', effects, ...more])
    }

    test('two processes on one Redis are one: replays, identical requests at once, and a restart', async () => {
      const start = await sharing(['--wait-ms', '30000'])
      const [first, other] = await Promise.all([start(), start()])
      const answer = await first.ask({ key: 'k1', body: '1' })
      assert.ok(isReplay(await other.ask({ key: 'k1', body: '1' })))
      const asked = Array.from({ length: 40 }, (_, index) => (index % 2 ? first : other).ask({ path: '/slow?ms=100', key: 'k2' }))
      assert.deepEqual([...new Set((await Promise.all(asked)).map(({ text }) => text))], ['slept:100 effect:2'])
      assert.equal(await first.end('SIGTERM'), 0)
      const again = await start()
      const replay = await again.ask({ key: 'k1', body: '1' })
      assert.deepEqual([replay.text, replay.headers.location, isReplay(replay)], [answer.text, '/echo/1', true])
      assert.equal(await again.effects(), 2)
      await Promise.all([again.end('SIGTERM'), other.end('SIGTERM')])
    })

    test('on Redis a process that stands still longer than its lease answers with what its successor did', async () => {
      const start = await sharing(['--lease-ms', '600', '--wait-ms', '30000'])
      const [late, successor] = await Promise.all([start(), start()])
      const answer = late.ask({ path: '/slow?ms=1500', key: 'k1' })
      await sleep(300)
      late.process.kill('SIGSTOP')
      const taken = await successor.ask({ path: '/slow?ms=1500', key: 'k1' })
      late.process.kill('SIGCONT')
      const outdone = await answer
      assert.equal(taken.text, 'slept:1500 effect:1')
      assert.deepEqual([outdone.text, isReplay(outdone)], [taken.text, true])
      await Promise.all([late.end('SIGTERM'), successor.end('SIGTERM')])
    })

    test('on Redis a retry after a crash runs again where nothing was settled, and replays where it was', async () => {
      const start = await sharing(['--lease-ms', '500'])
      let running = await start()
      for (const [when, effects] of [
        ['before', 1],
        ['after', 3],
        ['committed', 4],
      ] as const) {
        await assert.rejects(running.ask({ path: `/crash?when=${when}`, key: 'k1' + when, body: '1' }))
        assert.equal(await running.end(), 'SIGKILL')
        running = await start()
        const answer = await running.ask({ path: `/crash?when=${when}`, key: 'k1' + when, body: '1' })
        assert.deepEqual([answer.status, answer.text, isReplay(answer)], [201, '1', when === 'committed'], when)
        assert.equal(await running.effects(), effects, when)
      }
      await running.end('SIGTERM')
    })
  })
} else test('the HTTP behaviours on Redis', { skip: redisMissing }, () => {})
