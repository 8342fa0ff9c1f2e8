import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, isReplay } from './ask.ts'
import { courtesy, type Behaviour } from './behaviour.ts'

const stripe = ['--profile', 'stripe']

/** Behaviour 31, and what else a named policy decides. */
export const profileBehaviours: readonly Behaviour[] = [
  courtesy('under the profile stripe every status is stored and replayed once the handler ran', stripe, async (subject) => {
    for (const code of [200, 402, 408, 425, 429, 500, 503]) {
      const [first, second] = await subject.askTwice({ path: `/status/${code}`, key: 'k1' })
      assert.deepEqual([first.status, second.status, isReplay(second)], [code, code, true])
      assert.equal(second.text, first.text)
    }
    assert.equal(await subject.effects(), 7)
  }),

  courtesy('under the profile stripe a throw after the effect never leads to a second one', stripe, async (subject) => {
    const question = { path: '/throw?when=after', key: 'k1' }
    const [first, second] = await subject.askTwice(question)
    assert.equal(first.status, 500)
    // A framework that answers errors itself has answered 500, which is stored. Where nobody did, what happened is unknown.
    if (second.status === 500) assert.ok(isReplay(second))
    else assert.equal(codeOf(second), 'idempotency_outcome_unknown')
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('under the profile stripe another input under the key is a bad request', stripe, async (subject) => {
    await subject.ask({ key: 'k1', body: '1' })
    const answer = await subject.ask({ key: 'k1', body: '2' })
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'idempotency_key_reused'])
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('under the profile stripe a duplicate of a running request is refused without waiting', stripe, async (subject) => {
    const running = subject.ask({ path: '/slow?ms=700', key: 'k1' })
    await sleep(100)
    const busy = await subject.ask({ path: '/slow?ms=700', key: 'k1' })
    assert.deepEqual([busy.status, codeOf(busy)], [409, 'idempotency_in_progress'])
    assert.equal((await running).status, 200)
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('under the profile stripe a key is optional, and heeded with POST only', stripe, async (subject) => {
    await subject.askTwice({ body: '1' })
    await subject.askTwice({ method: 'PATCH', key: 'k1', body: '1' })
    assert.equal(await subject.effects(), 4)
    const key = 'k'.repeat(255)
    assert.ok(isReplay((await subject.askTwice({ key, body: '1' }))[1]))
    assert.equal(codeOf(await subject.ask({ key: `${key}k`, body: '1' })), 'idempotency_key_invalid')
  }),

  courtesy('what is said beside a profile wins over it', [...stripe, '--require-key', '--wait-ms', '60000'], async (subject) => {
    assert.equal(codeOf(await subject.ask({ body: '1' })), 'idempotency_key_missing')
    const question = { path: '/slow?ms=400', key: 'k1' }
    const answers = await Promise.all([subject.ask(question), subject.ask(question)])
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    )
  }),
]
