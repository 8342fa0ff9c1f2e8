import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, isReplay, type Answered } from '../../src/testing/http/ask.ts'
import { kinds, type Server } from '../faults/servers.ts'
import { freshPath, killAll, startChild, type Child } from './child.ts'

after(killAll)

/** That nothing ran, and that the client is told to come back. */
function assertUnavailable(answer: Answered): void {
  assert.deepEqual([answer.status, codeOf(answer)], [503, 'idempotency_store_unavailable'])
  assert.ok(Number(answer.headers['retry-after']) >= 1)
}

/** Asks until the store is found again; the test's own time is the bound. */
async function insisted(child: Child, request: Parameters<Child['ask']>[0]): Promise<Answered> {
  for (;;) {
    const answer = await child.ask(request)
    if (answer.status !== 503) return answer
    await sleep(50)
  }
}

// The application is a process of its own, which a rejected promise that nobody looks at would end.
for (const { name, skip, start } of kinds)
  suite(`an application whose ${name} goes away`, { skip }, () => {
    let server: Server
    before(async () => {
      server = await start()
    })
    after(async () => {
      killAll()
      await server.stop()
    })
    const started = async (leaseMs: number): Promise<Child> =>
      startChild(
        ['--framework', 'express', '--lease-ms', String(leaseMs)].concat(
          ['--store', await server.fresh()],
          ['--effects', freshPath('effects.jsonl')],
        ),
      )

    test(`${name}: while it is down or stands still requests are refused in time, and it is found again without a restart`, async () => {
      const child = await started(5_000)
      assert.equal((await child.ask({ key: 'k1', body: '1' })).status, 201)
      await server.kill()
      assertUnavailable(await child.ask({ key: 'k2', body: '2' }))
      assertUnavailable(await child.ask({ key: 'k1', body: '1' }))
      assert.equal(await child.effects(), 1)
      await server.restart()
      assert.equal((await insisted(child, { key: 'k2', body: '2' })).status, 201)
      assert.ok(isReplay(await child.ask({ key: 'k1', body: '1' })))
      server.pause()
      try {
        assertUnavailable(await child.ask({ key: 'k3', body: '3' }))
      } finally {
        server.resume()
      }
      // The claim that was on its way when the server stood still may come after it was given back: then this one waits until its lease has lapsed.
      assert.equal((await insisted(child, { key: 'k3', body: '3' })).status, 201)
      assert.equal(await child.effects(), 3)
      assert.equal(await child.end('SIGTERM'), 0)
    })

    test(`${name}: when it is down at the end of a handler the caller has the handler's answer, and it is saved when it is back`, async () => {
      const child = await started(60_000)
      const request = { path: '/slow?ms=1000', key: 'k1' }
      const asked = child.ask(request)
      await sleep(500)
      await server.kill()
      const answer = await asked
      assert.deepEqual([answer.status, answer.text], [200, 'slept:1000 effect:1'])
      await server.restart()
      const again = await insisted(child, request)
      assert.deepEqual([again.text, isReplay(again)], [answer.text, true])
      assert.equal(await child.effects(), 1)
      assert.equal(await child.end('SIGTERM'), 0)
    })
  })
