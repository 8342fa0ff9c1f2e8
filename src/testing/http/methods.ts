import assert from 'node:assert/strict'
import { codeOf, isReplay, jsonOf, type Answered } from './ask.ts'
import { courtesy, safety, type Behaviour } from './behaviour.ts'

/** Behaviours 41 to 44: methods, preconditions, early data. */
export const methodBehaviours: readonly Behaviour[] = [
  safety('GET, HEAD and OPTIONS pass with a key, without a marker', [], async (subject) => {
    await subject.ask({ key: 'k1', body: '1' })
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      const answers = await subject.askTwice({ method, path: '/counter', key: 'k1' })
      for (const answer of answers) {
        assert.equal(answer.headers['idempotent-replayed'], undefined)
        assert.equal(answer.headers['idempotency-key'], undefined)
      }
    }
    assert.deepEqual(jsonOf(await subject.ask({ method: 'GET', path: '/counter', key: 'k1' })), { count: 1 })
  }),

  courtesy('PATCH runs once, and PUT and DELETE every time where they are not switched on', [], async (subject) => {
    for (const method of ['PATCH', 'PUT', 'DELETE']) await subject.askTwice({ method, key: 'k1', body: '1' })
    assert.equal(await subject.effects(), 5)
  }),

  courtesy('PUT and DELETE run once where they are switched on', ['--methods', 'POST,PUT,DELETE'], async (subject) => {
    for (const [method, status] of [
      ['PUT', 200],
      ['DELETE', 204],
    ] as const) {
      const [first, second] = await subject.askTwice({ method, key: 'k1', body: '1' })
      assert.deepEqual([first.status, second.status], [status, status])
      assert.deepEqual(second.body, first.body)
      assert.ok(isReplay(second))
    }
    assert.equal(await subject.effects(), 2)
  }),

  safety('a precondition that was right the first time does not fail the retry', [], async (subject) => {
    const write = (key: string, ifMatch?: string): Promise<Answered> =>
      subject.ask({ path: '/versioned', key, ...(ifMatch === undefined ? {} : { headers: { 'if-match': ifMatch } }) })
    const first = await write('k1', '"1"')
    const second = await write('k1', '"1"')
    assert.deepEqual([first.status, first.headers.etag], [200, '"2"'])
    assert.deepEqual([second.status, second.headers.etag, isReplay(second)], [200, '"2"', true])
    assert.equal((await write('k2', '"1"')).status, 412)
    assert.equal((await write('k3')).status, 428)
    const claimed = await write('k3', '"2"')
    assert.deepEqual([claimed.status, isReplay(claimed)], [200, false])
    assert.equal(await subject.effects(), 2)
  }),

  safety('early data with a key is refused, and the same request runs without', [], async (subject) => {
    const early = await subject.ask({ key: 'k1', body: '1', headers: { 'early-data': '1' } })
    assert.equal(early.status, 425)
    assert.equal(codeOf(early), 'idempotency_early_data')
    assert.equal(await subject.effects(), 0)
    // Nothing was claimed, so that the key is still free, also for another input.
    assert.equal((await subject.ask({ key: 'k1', body: '2' })).status, 201)
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('early data is refused whatever the header says', [], async (subject) => {
    for (const value of ['0', '', 'no'])
      assert.equal((await subject.ask({ key: 'k1', body: '1', headers: { 'early-data': value } })).status, 425)
    assert.equal(await subject.effects(), 0)
  }),

  courtesy('early data without a key passes where the key is optional', [], async (subject) => {
    assert.equal((await subject.ask({ path: '/optional', body: '1', headers: { 'early-data': '1' } })).status, 201)
  }),

  courtesy('early data is accepted where the option says so', ['--early-data', 'accept'], async (subject) => {
    const [first, second] = await subject.askTwice({ key: 'k1', body: '1', headers: { 'early-data': '1' } })
    assert.deepEqual([first.status, isReplay(first), isReplay(second)], [201, false, true])
  }),
]
