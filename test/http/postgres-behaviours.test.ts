import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, suite, test } from 'node:test'
import { serverFor } from '../stores/postgres-support.ts'
import { startFixture } from '../fixture/start.ts'
import { freshPath, killAll, startChild } from './child.ts'
import { isReplay } from '../../src/testing/http/ask.ts'
import { httpContract } from 'onceward/testing'

const { server, skip } = await serverFor({ settings: ['max_connections=300'] })
after(killAll)

/** A database of its own for each server, or for those that share one. */
async function freshStore(): Promise<readonly string[]> {
  return ['--store', (await server?.database()) ?? 'none']
}

suite('express on Postgres', { concurrency: 4, skip }, () => {
  httpContract(test, 'express on Postgres', async (args) =>
    startFixture(['--framework', 'express', ...(await freshStore()), ...args]),
  )

  test('express: two processes on one Postgres database are one: replays, identical requests at once, and a restart', async () => {
    const shared = [...(await freshStore()), '--effects', freshPath('effects.jsonl'), '--wait-ms', '30000']
    const start = async () => startChild(['--framework', 'express', ...shared])
    const [first, other] = await Promise.all([start(), start()])
    const answer = await first.ask({ key: 'k1', body: '1' })
    assert.ok(isReplay(await other.ask({ key: 'k1', body: '1' })))
    const asked = Array.from({ length: 40 }, async (_, index) =>
      (index % 2 ? first : other).ask({ path: '/slow?ms=100', key: 'k2' }),
    )
    assert.deepEqual([...new Set((await Promise.all(asked)).map(({ text }) => text))], ['slept:100 effect:2'])
    assert.equal(await first.end('SIGTERM'), 0)
    const again = await start()
    const replay = await again.ask({ key: 'k1', body: '1' })
    assert.deepEqual([replay.text, isReplay(replay)], [answer.text, true])
    assert.equal(await again.effects(), 2)
    await Promise.all([again.end('SIGTERM'), other.end('SIGTERM')])
  })

  test('express: a process on Postgres that stands still longer than its lease answers with what its successor did', async () => {
    const shared = [...(await freshStore()), '--effects', freshPath('effects.jsonl'), '--lease-ms', '600', '--wait-ms', '30000']
    const start = async () => startChild(['--framework', 'express', ...shared])
    const [late, successor] = await Promise.all([start(), start()])
    const answer = late.ask({ path: '/slow?ms=1500', key: 'k1' })
    await sleep(300)
    late.process.kill('SIGSTOP')
    const taken = await successor.ask({ path: '/slow?ms=1500', key: 'k1' })
    late.process.kill('SIGCONT')
    const outdone = await answer
    assert.deepEqual([outdone.text, isReplay(outdone)], [taken.text, true])
    await Promise.all([late.end('SIGTERM'), successor.end('SIGTERM')])
  })
})
