import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import { after, suite, test } from 'node:test'
import { freshPath, killAll, refusal, startChild, type Child } from './child.ts'
import { codeOf, isReplay } from '../../src/testing/http/ask.ts'
import { frameworks, parseOptions, UsageError } from '../fixture/options.ts'

/** Two processes, or one after the other, on one SQLite file, with one count of effects. */
function sharing(framework: string, more: readonly string[] = [], path = freshPath('onceward.db')): () => Promise<Child> {
  const files = ['--store', `sqlite:${path}`, '--effects', freshPath('effects.jsonl')]
  return () => startChild(['--framework', framework, ...files, ...more])
}

after(killAll)

// Processes mostly start and wait.
suite('processes', { concurrency: 3 }, () => {
  for (const framework of frameworks) {
    test(`${framework}: two processes on one file are one: replays, identical requests at once, and a restart`, async () => {
      const start = sharing(framework, ['--wait-ms', '30000'])
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

    test(`${framework}: a process that stands still longer than its lease answers with what its successor did`, async () => {
      const path = freshPath('onceward.db')
      const start = sharing(framework, ['--lease-ms', '600', '--wait-ms', '30000'], path)
      const [late, successor] = await Promise.all([start(), start()])
      const answer = late.ask({ path: '/slow?ms=1500', key: 'k1' })
      await sleep(300)
      await stopUnlocked(late, path)
      const taken = await successor.ask({ path: '/slow?ms=1500', key: 'k1' })
      late.process.kill('SIGCONT')
      const outdone = await answer
      assert.equal(taken.text, 'slept:1500 effect:1')
      assert.deepEqual([outdone.text, isReplay(outdone)], [taken.text, true])
      assert.equal((await successor.ask({ path: '/slow?ms=1500', key: 'k1' })).text, taken.text)
      await Promise.all([late.end('SIGTERM'), successor.end('SIGTERM')])
    })

    test(`${framework}: after a crash the retry runs again where nothing was settled, and replays where it was`, async () => {
      const start = sharing(framework, ['--lease-ms', '500'])
      let child = await start()
      for (const [when, effects] of [
        ['before', 1],
        ['after', 3],
        ['committed', 4],
      ] as const) {
        await assert.rejects(child.ask({ path: `/crash?when=${when}`, key: 'k1' + when, body: '1' }))
        assert.equal(await child.end(), 'SIGKILL')
        child = await start()
        const answer = await child.ask({ path: `/crash?when=${when}`, key: 'k1' + when, body: '1' })
        assert.deepEqual([answer.status, answer.text, isReplay(answer)], [201, '1', when === 'committed'], when)
        assert.equal(await child.effects(), effects, when)
      }
      await child.end('SIGTERM')
    })

    test(`${framework}: while another process locks the store, requests are refused in time; what had begun is answered and saved later`, async () => {
      const path = freshPath('onceward.db')
      const child = await startChild(['--framework', framework, '--store', `sqlite:${path}`, '--lease-ms', '60000'])
      const begun = child.ask({ path: '/slow?ms=400', key: 'k1' })
      await sleep(200)
      const unlock = lockedBy(path)
      const refused = await child.ask({ key: 'k2', body: '1' })
      assert.deepEqual([refused.status, codeOf(refused)], [503, 'idempotency_store_unavailable'])
      assert.match(String(refused.headers['retry-after']), /^[1-9]\d*$/)
      assert.equal((await begun).text, 'slept:400 effect:1')
      unlock()
      const again = await child.ask({ path: '/slow?ms=400', key: 'k1' })
      assert.deepEqual([again.text, isReplay(again)], ['slept:400 effect:1', true])
      assert.equal((await child.ask({ key: 'k2', body: '1' })).status, 201)
      assert.equal(await child.effects(), 2)
      assert.equal(await child.end('SIGTERM'), 0)
    })
  }
})

/** Stops the process where it does not hold the file's write lock, which nobody could take from it: its renewals take it for a moment. */
async function stopUnlocked({ process }: Child, path: string): Promise<void> {
  for (;;) {
    process.kill('SIGSTOP')
    await sleep(20)
    try {
      return lockedBy(path)()
    } catch {
      // Locked: on with it, to be stopped at another moment.
      process.kill('SIGCONT')
      await sleep(10)
    }
  }
}

/** Takes the file's write lock, as a process that hangs in a transaction would; what is returned lets it go. */
function lockedBy(path: string): () => void {
  const database = new DatabaseSync(path)
  try {
    database.exec('BEGIN IMMEDIATE')
    return () => database.close()
  } catch (error) {
    database.close()
    throw error
  }
}

test('the fixture says in one line what is allowed, and ends with 2', async () => {
  const { code, stderr, stdout } = await refusal(['--framework', 'rails'])
  assert.deepEqual([code, stderr, stdout], [2, `--framework rails: allowed are ${frameworks.join(', ')}\n`, ''])
  for (const args of [
    ['--colour'],
    ['--store', 'redis://'],
    ['--store', 'mongodb://localhost'],
    ['--store', 'sqlite:'],
    ['--atomic', '--store', 'memory'],
    ['--profile', 'paypal'],
    ['--require-key', '--optional-key'],
    ['--port', '65536'],
    ['--ttl-ms', 'soon'],
    ['--interrupted', 'thrown=maybe'],
    ['--scope', 'world'],
    ['stray'],
  ])
    assert.throws(() => parseOptions(args), UsageError, args.join(' '))
  // What only the library can tell.
  for (const args of [
    ['--attempts-max', '0'],
    ['--methods', 'get'],
  ]) {
    const refused = await refusal(args)
    assert.deepEqual([refused.code, refused.stdout, refused.stderr.split('\n').length], [2, '', 2], refused.stderr)
  }
})

test('the fixture forgets effects and records when it is reset', async () => {
  const child = await startChild([])
  await child.askTwice({ key: 'k1', body: '1' })
  assert.equal((await child.ask({ path: '/reset' })).status, 204)
  assert.equal(await child.effects(), 0)
  assert.ok(!isReplay(await child.ask({ key: 'k1', body: '2' })))
  assert.equal(await child.end('SIGTERM'), 0)
})
