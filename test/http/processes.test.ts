import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import { after, suite, test } from 'node:test'
import { freshPath, killAll, refusal, startChild, type Child } from './child.ts'
import { codeOf, isReplay } from '../../src/testing/http/ask.ts'
import { showProcesses } from './sharing.ts'
import { frameworks, parseOptions, UsageError } from '../fixture/options.ts'

after(killAll)

// Processes mostly start and wait.
suite('processes', { concurrency: 3 }, () => {
  for (const framework of frameworks) {
    showProcesses(framework, { name: 'SQLite', fresh: async () => `sqlite:${freshPath('onceward.db')}`, pause: stopUnlocked })

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
async function stopUnlocked({ process }: Child, store: string): Promise<void> {
  const path = store.slice('sqlite:'.length)
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
