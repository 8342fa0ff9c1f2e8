import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { codeOf, isReplay } from '../../src/testing/http/ask.ts'
import type { Framework } from '../fixture/options.ts'
import { startFixture } from '../fixture/start.ts'
import { subjectOf, type Subject } from '../../src/testing/http/subject.ts'
import { startChild, type Child } from './child.ts'

/** Shows the door in a transaction, on this framework and on a fresh database of this store each time. */
export function showAtomic(framework: Framework, storeName: string, fresh: () => Promise<string>): void {
  const name = `${framework} in a transaction on ${storeName}`
  suite(name, { concurrency: 4 }, () => {
    const shows = (sentence: string, show: (subject: Subject) => Promise<void>, ...more: string[]): void => {
      test(`${name}: ${sentence}`, async () => {
        const store = await fresh()
        const fixture = await startFixture(['--framework', framework, '--store', store, '--atomic', ...more])
        try {
          await show(subjectOf(fixture.url))
        } finally {
          await fixture.close()
        }
      })
    }

    shows('an answer of 2xx or 3xx is committed with its effect, and replayed', async (subject) => {
      const [first, second] = await subject.askTwice({ key: 'k1', body: '{"a":1}' })
      assert.deepEqual([first.status, first.headers['location'], isReplay(first)], [201, '/echo/1', false])
      assert.deepEqual([second.text, second.headers['location'], isReplay(second)], [first.text, '/echo/1', true])
      const [moved, again] = await subject.askTwice({ path: '/status/302', key: 'k2' })
      assert.deepEqual([moved.status, isReplay(moved), isReplay(again)], [302, false, true])
      assert.equal(await subject.effects(), 2)
    })

    shows('an answer of 4xx takes its effects back, and is replayed', async (subject) => {
      for (const code of [402, 404, 409, 422]) {
        const [first, second] = await subject.askTwice({ path: `/status/${code}`, key: 'k1' })
        assert.deepEqual([first.status, second.status, second.text, isReplay(second)], [code, code, first.text, true])
      }
      assert.equal(await subject.effects(), 0)
    })

    shows(
      'an answer that is not stored takes its effects back and is forgotten: also with another input the key runs',
      async (subject) => {
        for (const code of [408, 429, 500, 503]) {
          const [first, second] = await subject.askTwice({ path: `/status/${code}`, key: 'k1' })
          assert.deepEqual([first.status, second.status, isReplay(second)], [code, code, false])
        }
        assert.equal(await subject.effects(), 0)
        assert.equal((await subject.ask({ key: 'k9', path: '/throw?when=after' })).status, 500)
        assert.equal((await subject.ask({ key: 'k9', path: '/throw?when=before', body: 'other' })).status, 500)
        assert.equal(await subject.effects(), 0)
      },
    )

    shows('identical requests at once run once, and all have its answer', async (subject) => {
      const answers = await Promise.all(Array.from({ length: 50 }, () => subject.ask({ path: '/slow?ms=50', key: 'k1' })))
      assert.deepEqual([...new Set(answers.map(({ text }) => text))], ['slept:50 effect:1'])
      assert.equal(answers.filter((answer) => !isReplay(answer)).length, 1)
      assert.equal(await subject.effects(), 1)
    })

    shows('another input under the key is refused, and the first answer stands', async (subject) => {
      await subject.ask({ key: 'k1', body: '1' })
      assert.equal(codeOf(await subject.ask({ key: 'k1', body: '2' })), 'idempotency_key_reused')
      assert.ok(isReplay(await subject.ask({ key: 'k1', body: '1' })))
      assert.equal(await subject.effects(), 1)
    })

    shows('an answer in pieces over time is refused, its effects are taken back, and nothing of it was sent', async (subject) => {
      const answer = await subject.ask({ path: '/stream?chunks=3&ms=50', key: 'k1' })
      assert.equal(answer.status, 500)
      assert.doesNotMatch(answer.text, /chunk/)
      assert.equal(await subject.effects(), 0)
    })

    shows('an answer of any bytes and a large one in one piece are replayed as they were', async (subject) => {
      const [binary, again] = await subject.askTwice({ path: '/binary', key: 'k1' })
      assert.deepEqual(again.body, binary.body)
      const [large, second] = await subject.askTwice({ path: '/large?bytes=300000', key: 'k2' })
      assert.deepEqual([large.body.length, second.body.length, isReplay(second)], [300_000, 300_000, true])
    })

    shows(
      'an answer over the limit is committed, and a duplicate is told where to look',
      async (subject) => {
        const [first, second] = await subject.askTwice({ path: '/large?bytes=20000', key: 'k1' })
        assert.equal(first.body.length, 20_000)
        assert.equal(codeOf(second), 'idempotency_outcome_not_kept')
        assert.equal(await subject.effects(), 1)
      },
      '--body-max',
      '10000',
    )

    test(`${name}: whenever the process is killed, the retry finds one effect and its answer`, async () => {
      const store = await fresh()
      const start = (): Promise<Child> => startChild(['--framework', framework, '--store', store, '--atomic'])
      let child = await start()
      for (const [when, effects] of [
        ['before', 1],
        ['after', 2],
        ['committed', 3],
      ] as const) {
        // With its record the count of attempts is rolled back: it is the first attempt that runs again, and it would kill again.
        const path = `/crash?when=${when}`
        await assert.rejects(child.ask({ path, key: `k-${when}`, body: '1' }))
        assert.equal(await child.end(), 'SIGKILL')
        child = await start()
        assert.equal(await child.effects(), when === 'committed' ? effects : effects - 1, `${when}: what was committed`)
        const retried =
          when === 'committed' ? { path, key: `k-${when}`, body: '1' } : { path: '/echo', key: `k-${when}`, body: '1' }
        const answer = await child.ask(retried)
        assert.deepEqual([answer.status, answer.text, isReplay(answer)], [201, '1', when === 'committed'], when)
        assert.equal(await child.effects(), effects, when)
      }
      await child.end('SIGTERM')
    })
  })
}
