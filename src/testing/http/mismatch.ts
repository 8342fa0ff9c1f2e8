import assert from 'node:assert/strict'
import { codeOf, isReplay } from './ask.ts'
import { safety, type Behaviour } from './behaviour.ts'

/** Behaviours 17 to 21: another input under the key. */
export const mismatchBehaviours: readonly Behaviour[] = [
  safety(
    'another body, query or media type under the key is refused, and query in another order is the same',
    [],
    async (subject) => {
      const path = '/echo?b=1&a=2&a=3'
      await subject.ask({ path, key: 'k1', body: '{"a":1}' })
      const others = [
        { path, body: '{"a":2}' },
        { path: '/echo?b=1&a=3&a=2', body: '{"a":1}' },
        { path: '/echo', body: '{"a":1}' },
        { path, body: '{"a":1}', headers: { 'content-type': 'text/plain' } },
        { path },
      ]
      for (const other of others) {
        const answer = await subject.ask({ ...other, key: 'k1' })
        assert.equal(answer.status, 422)
        assert.equal(codeOf(answer), 'idempotency_key_reused')
        assert.ok(!answer.text.includes('/echo/1'))
      }
      assert.ok(isReplay(await subject.ask({ path: '/echo?a=2&b=1&a=3', key: 'k1', body: '{"a":1}' })))
      assert.ok(
        isReplay(
          await subject.ask({
            path,
            key: 'k1',
            body: '{"a":1}',
            headers: { 'content-type': 'Application/JSON; charset="UTF-8"' },
          }),
        ),
      )
      assert.equal(await subject.effects(), 1)
    },
  ),

  safety('after a mismatch the original still replays', [], async (subject) => {
    const first = await subject.ask({ key: 'k1', body: '1' })
    await subject.ask({ key: 'k1', body: '2' })
    const third = await subject.ask({ key: 'k1', body: '1' })
    assert.ok(isReplay(third))
    assert.equal(third.headers.location, first.headers.location)
  }),

  safety('a mismatch against an operation that is still running is refused at once', [], async (subject) => {
    const running = subject.ask({ path: '/slow?ms=700', key: 'k1', body: '1' })
    let isOver = false
    void running.then(() => (isOver = true))
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(codeOf(await subject.ask({ path: '/slow?ms=700', key: 'k1', body: '2' })), 'idempotency_key_reused')
    assert.equal(isOver, false)
    assert.equal((await running).status, 200)
    assert.equal(await subject.effects(), 1)
  }),

  safety(
    'another token of the same account and other tracing headers are the same caller',
    ['--scope', 'account'],
    async (subject) => {
      const headers = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x-request-id': '1' }
      await subject.ask({ key: 'k1', token: 'acme.t1', body: '1', headers })
      assert.ok(isReplay(await subject.ask({ key: 'k1', token: 'acme.t2', body: '1' })))
      assert.ok(!isReplay(await subject.ask({ key: 'k1', token: 'other.t1', body: '1' })))
    },
  ),

  safety('the same key on another path or method is an operation of its own, with its own answer', [], async (subject) => {
    const first = await subject.ask({ key: 'k1', body: '1' })
    const other = await subject.ask({ path: '/status/200', key: 'k1', body: '1' })
    const patch = await subject.ask({ method: 'PATCH', key: 'k1', body: '1' })
    assert.deepEqual([first.status, other.status, patch.status], [201, 200, 200])
    assert.match(other.text, /^status:200 effect:2$/)
    assert.ok(![first, other, patch].some(isReplay))
    const again = await subject.ask({ path: '/status/200', key: 'k1', body: '1' })
    assert.deepEqual([again.text, isReplay(again)], [other.text, true])
    assert.equal(await subject.effects(), 3)
  }),
]
