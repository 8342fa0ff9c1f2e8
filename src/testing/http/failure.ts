import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { once as eventOf } from 'node:events'
import { codeOf, isReplay } from './ask.ts'
import { safety, type Behaviour } from './behaviour.ts'

/** Behaviours 29 to 32 and 36: what is stored, and what is not. */
export const failureBehaviours: readonly Behaviour[] = [
  safety('answers with 404, 409, 402 and 422 are stored and replayed', [], async (subject) => {
    for (const code of [404, 409, 402, 422]) {
      const [first, second] = await subject.askTwice({ path: `/status/${code}`, key: 'k1' })
      assert.equal(first.status, code)
      assert.equal(second.text, first.text)
      assert.ok(isReplay(second))
    }
    assert.equal(await subject.effects(), 4)
  }),

  safety('answers with 408, 425, 429, 500 and 503 are not stored, and the next request runs again', [], async (subject) => {
    for (const code of [408, 425, 429, 500, 503]) {
      const [first, second] = await subject.askTwice({ path: `/status/${code}`, key: 'k1', body: '1' })
      assert.deepEqual([first.status, second.status], [code, code])
      assert.notEqual(second.text, first.text)
      assert.ok(!isReplay(second))
      assert.equal(second.headers['idempotency-key'], 'k1')
      const other = await subject.ask({ path: `/status/${code}`, key: 'k1', body: '2' })
      assert.equal(codeOf(other), 'idempotency_key_reused')
    }
    assert.equal(await subject.effects(), 10)
  }),

  safety('after attemptsMax attempts without an outcome nobody may run it', ['--attempts-max', '2'], async (subject) => {
    const question = { path: '/status/500', key: 'k1' }
    await subject.askTwice(question)
    const third = await subject.ask(question)
    assert.equal(third.status, 409)
    assert.equal(codeOf(third), 'idempotency_outcome_unknown')
    assert.equal(await subject.effects(), 2)
  }),

  safety('a throw interrupts, and the next request runs again', [], async (subject) => {
    const [first, second] = await subject.askTwice({ path: '/throw?when=after', key: 'k1' })
    assert.deepEqual([first.status, second.status], [500, 500])
    assert.ok(!first.text.includes('thrown after'))
    assert.equal(codeOf(await subject.ask({ path: '/throw?when=after', key: 'k1', body: '1' })), 'idempotency_key_reused')
    assert.equal(await subject.effects(), 2)
  }),

  safety(
    'where interrupted operations are held, a throw is unknown until an operator resolves it',
    ['--interrupted', 'hold'],
    async (subject) => {
      const question = { path: '/throw?when=after', key: 'k1', token: 'acme' }
      assert.equal((await subject.ask(question)).status, 500)
      assert.equal(codeOf(await subject.ask(question)), 'idempotency_outcome_unknown')
      const resolve = (more: object): Promise<{ status: number }> =>
        subject.ask({
          path: '/resolve',
          body: JSON.stringify({ tenant: 'acme', method: 'POST', path: '/throw', key: 'k1', ...more }),
        })
      assert.equal((await resolve({ key: 'another' })).status, 404)
      assert.equal((await resolve({ outcome: { status: 201, body: 'done by hand' } })).status, 204)
      const answer = await subject.ask(question)
      assert.deepEqual([answer.status, answer.text, isReplay(answer)], [201, 'done by hand', true])
      assert.equal(await subject.effects(), 1)
    },
  ),

  safety('an operation that is resolved as absent runs again', ['--interrupted', 'answered=hold'], async (subject) => {
    const question = { path: '/status/500', key: 'k1', token: 'acme' }
    await subject.ask(question)
    const absent = { tenant: 'acme', method: 'POST', path: '/status/500', key: 'k1' }
    assert.equal((await subject.ask({ path: '/resolve', body: JSON.stringify(absent) })).status, 204)
    assert.equal((await subject.ask(question)).status, 500)
    assert.equal(await subject.effects(), 2)
  }),

  safety('what is refused before the handler leaves nothing: a corrected request with the key runs', [], async (subject) => {
    assert.equal((await subject.ask({ key: 'k1', token: 'revoked-1', body: '1' })).status, 401)
    assert.equal((await subject.ask({ path: '/nowhere', key: 'k1', body: '1' })).status, 404)
    assert.equal((await subject.ask({ method: 'PUT', path: '/slow', key: 'k1', body: '1' })).status, 405)
    const tooLarge = await subject.ask({ key: 'k1', body: Buffer.alloc(1_048_577) })
    assert.equal(tooLarge.status, 413)
    const answer = await subject.ask({ key: 'k1', body: Buffer.alloc(1_048_576, 'a') })
    assert.equal(answer.status, 201)
    assert.equal(answer.body.length, 1_048_576)
    assert.ok(!isReplay(answer))
  }),

  safety('an upload that is broken off leaves no record, and the whole request runs', [], async (subject) => {
    const { hostname, port } = new URL(subject.url)
    for (const framing of ['Content-Length: 100', 'Transfer-Encoding: chunked']) {
      const socket = connect(Number(port), hostname)
      await eventOf(socket, 'connect')
      const head = `POST /echo HTTP/1.1\r\nHost: fixture\r\nIdempotency-Key: k1\r\n${framing}\r\n\r\n`
      socket.write(`${head}${framing.startsWith('T') ? '5\r\nhello\r\n' : 'hello'}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
      socket.destroy()
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(await subject.effects(), 0)
    const answer = await subject.ask({ key: 'k1', body: Buffer.from('hello world') })
    assert.equal(answer.text, 'hello world')
    assert.ok(!isReplay(answer))
    assert.ok(isReplay(await subject.ask({ key: 'k1', body: Buffer.from('hello world') })))
  }),
]
