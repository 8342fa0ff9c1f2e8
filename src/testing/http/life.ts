import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, isReplay } from './ask.ts'
import { safety, type Behaviour } from './behaviour.ts'

/** Behaviours 37 to 40: scope and lifetime. */
export const lifeBehaviours: readonly Behaviour[] = [
  safety("two tenants with the same key and body never see each other's answer", [], async (subject) => {
    const one = await subject.ask({ key: 'k1', token: 'one', body: '1' })
    const two = await subject.ask({ key: 'k1', token: 'two', body: '1' })
    const nobody = await subject.ask({ key: 'k1', body: '1' })
    assert.deepEqual(
      [one, two, nobody].map(({ headers }) => headers.location),
      ['/echo/1', '/echo/2', '/echo/3'],
    )
    assert.ok(isReplay(await subject.ask({ key: 'k1', token: 'two', body: '1' })))
  }),

  safety('revoked credentials get 401 and not the stored answer', [], async (subject) => {
    await subject.ask({ key: 'k1', token: 'revoked-later', body: '1' })
    const answer = await subject.ask({ key: 'k1', token: 'revoked-later', body: '1' })
    assert.equal(answer.status, 401)
    assert.ok(!isReplay(answer))
  }),

  safety(
    'after the ttl the key runs again, also with another body, and a replay does not lengthen it',
    ['--ttl-ms', '1500'],
    async (subject) => {
      await subject.ask({ key: 'k1', body: '1' })
      const settled = performance.now()
      await sleep(600)
      const before = await subject.ask({ key: 'k1', body: '1' })
      if (performance.now() - settled < 1_400) assert.ok(isReplay(before))
      await sleep(1_000)
      const after = await subject.ask({ key: 'k1', body: '2' })
      assert.equal(after.status, 201)
      assert.ok(!isReplay(after))
      assert.equal(await subject.effects(), 2)
    },
  ),

  safety('the ttl never removes an operation that is running', ['--ttl-ms', '100'], async (subject) => {
    const question = { path: '/slow?ms=700', key: 'k1' }
    const first = subject.ask(question)
    await sleep(400)
    const second = await subject.ask(question)
    assert.equal((await first).text, second.text)
    assert.equal(await subject.effects(), 1)
  }),

  safety(
    'while a tombstone stands a repeat is told that the outcome has expired',
    ['--ttl-ms', '100', '--remember-ms', '60000'],
    async (subject) => {
      await subject.ask({ key: 'k1', body: '1' })
      await sleep(300)
      const answer = await subject.ask({ key: 'k1', body: '1' })
      assert.equal(answer.status, 410)
      assert.equal(codeOf(answer), 'idempotency_outcome_expired')
      assert.equal(await subject.effects(), 1)
    },
  ),
]
