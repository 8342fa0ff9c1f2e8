import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, begin, codeOf, isReplay, memberOf, type Answered } from './ask.ts'
import { courtesy, safety, type Behaviour } from './behaviour.ts'
import type { Subject } from './subject.ts'

/** Headers of one exchange, which no replay takes over. */
const ofOneExchange = ['date', 'connection', 'keep-alive', 'transfer-encoding', 'content-length', 'idempotent-replayed']

/** An answer as it must come back: without what belongs to one exchange. */
function lasting({ status, headers, body }: Answered): unknown {
  const kept = Object.entries(headers).filter(([name]) => !ofOneExchange.includes(name))
  return { status, headers: Object.fromEntries(kept), body: body.toString('hex') }
}

async function assertReplayed(subject: Subject, path: string): Promise<Answered> {
  const [first, second] = await subject.askTwice({ path, key: `of ${path}`.replaceAll(/[^a-z\d]/g, ''), body: '{"a":1}' })
  assert.ok(!isReplay(first) && isReplay(second), path)
  assert.deepEqual(lasting(second), lasting(first), path)
  assert.equal(second.headers['content-length'], second.status === 204 ? undefined : String(second.body.length), path)
  return second
}

/** The second answer, where the client of the first has gone in the middle of it. */
async function askedAgain(subject: Subject): Promise<Answered> {
  const question = { path: '/stream?chunks=6&ms=50', key: 'k1' }
  const response = await begin(subject.url, question)
  await new Promise((resolve) => response.once('data', resolve))
  response.destroy()
  return subject.ask(question)
}

/** Behaviours 7 to 11 and 13 to 16: the replay. */
export const replayBehaviours: readonly Behaviour[] = [
  safety('the same request twice has the same answer, and only the second bears the marker', [], async (subject) => {
    const second = await assertReplayed(subject, '/echo')
    assert.equal(second.text, '{"a":1}')
    assert.equal(second.headers.location, '/echo/1')
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('headers of the outcome come back, those of one exchange do not', [], async (subject) => {
    const [first, second] = await subject.askTwice({ path: '/headers', key: 'k1' })
    for (const name of ['content-type', 'location', 'etag', 'link', 'cache-control', 'x-custom'])
      assert.equal(second.headers[name], first.headers[name], name)
    assert.equal(first.headers['set-cookie']?.length, 2)
    assert.ok(first.headers['x-request-id'])
    assert.equal(second.headers['set-cookie'], undefined)
    assert.equal(second.headers['x-request-id'], undefined)
    assert.ok(second.headers.date)
  }),

  safety('answers come back byte by byte: empty, all byte values, redirects, large', [], async (subject) => {
    for (const path of [
      '/empty',
      '/binary',
      '/status/303',
      '/status/200',
      '/large?bytes=65536',
      '/large?bytes=65537',
      '/large?bytes=900000',
    ])
      await assertReplayed(subject, path)
  }),

  safety('bytes that are no text come back as they are', [], async (subject) => {
    const body = Buffer.from([0x1f, 0x8b, 0, 0xff, 0xfe, 0xc3, 0x28, 0x0d, 0x0a])
    const question = { key: 'k1', body, headers: { 'content-type': 'application/gzip' } }
    const [first, second] = await subject.askTwice(question)
    assert.deepEqual(first.body, body)
    assert.deepEqual(second.body, body)
    assert.ok(isReplay(second))
  }),

  safety('other key order and white space are the same JSON input', [], async (subject) => {
    const same = ['{"a":1,"b":[1,2]}', ' { "b" : [ 1.0, 2 ],\n"a":1 }', '{"b":[10e-1,2.00],"\\u0061":1}']
    for (const body of same) await subject.ask({ key: 'k1', body })
    for (const body of ['[0]', '[-0]', '[0.0]', '[-0e9]']) await subject.ask({ key: 'k2', body })
    assert.equal(await subject.effects(), 2)
  }),

  safety('JSON that means something else is another input', [], async (subject) => {
    const pairs = [
      ['{"a":null}', '{}'],
      ['[1,2]', '[2,1]'],
      ['{"a":9007199254740993}', '{"a":9007199254740992}'],
      ['{"a":"1"}', '{"a":1}'],
      ['{"a":1,"a":2}', '{"a":2}'],
    ] as const
    for (const [index, [first, second]] of pairs.entries()) {
      assert.equal((await subject.ask({ key: `k${index}`, body: first })).status, 201)
      assert.equal(codeOf(await subject.ask({ key: `k${index}`, body: second })), 'idempotency_key_reused', first)
    }
  }),

  safety('a multipart body is the same under another boundary, and another with a changed file', [], async (subject) => {
    const form = (boundary: string, file: string): { body: Buffer; headers: Record<string, string> } => ({
      body: Buffer.from(
        `--${boundary}\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\n${file}\r\n--${boundary}--\r\n`,
      ),
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    })
    assert.equal((await subject.ask({ key: 'k1', ...form('aaa', 'one') })).status, 201)
    assert.ok(isReplay(await subject.ask({ key: 'k1', ...form('bbb', 'one') })))
    assert.equal(codeOf(await subject.ask({ key: 'k1', ...form('aaa', 'two') })), 'idempotency_key_reused')
    assert.equal(await subject.effects(), 1)
  }),

  safety('a client that goes away while the handler runs finds its outcome', [], async (subject) => {
    const gone = new AbortController()
    const question = { path: '/slow?ms=1200', key: 'k1' }
    const lost = fetch(`${subject.url}${question.path}`, {
      method: 'POST',
      headers: { 'idempotency-key': 'k1' },
      signal: gone.signal,
    })
    await sleep(600)
    gone.abort()
    await assert.rejects(lost)
    const answer = await subject.ask(question)
    assert.equal(answer.text, 'slept:1200 effect:1')
    assert.ok(isReplay(answer))
    assert.equal(await subject.effects(), 1)
  }),

  safety('a client that goes away in the middle of a streamed answer does not have it made twice', [], async (subject) => {
    const answer = await askedAgain(subject)
    assert.equal(await subject.effects(), 1)
    if (answer.status !== 200) assert.equal(codeOf(answer), 'idempotency_outcome_not_kept')
  }),

  courtesy('a client that goes away in the middle of a streamed answer finds all of it', [], async (subject) => {
    const answer = await askedAgain(subject)
    assert.equal(answer.text, [0, 1, 2, 3, 4, 5].map((index) => `chunk:${index}\n`).join(''))
    assert.ok(isReplay(answer))
  }),

  courtesy('a streamed answer reaches its first client as it is produced', [], async (subject) => {
    const response = await begin(subject.url, { path: '/stream?chunks=3&ms=700', key: 'k1' })
    const first = await new Promise((resolve) => response.once('data', resolve))
    assert.ok(!String(first).includes('chunk:2'), 'what is produced 1.4 s later is not waited for')
  }),

  safety('a streamed answer is replayed whole', [], async (subject) => {
    const [first, second] = await subject.askTwice({ path: '/stream?chunks=3&ms=50', key: 'k1' })
    assert.equal(first.text, 'chunk:0\nchunk:1\nchunk:2\n')
    assert.equal(second.text, first.text)
    assert.ok(isReplay(second))
  }),

  safety(
    'an answer over the limit reaches its first client whole, and a duplicate is told where to look',
    ['--body-max', '5000'],
    async (subject) => {
      const [first, second] = await subject.askTwice({ path: '/large?bytes=6000', key: 'k1' })
      assert.equal(first.body.length, 6000)
      assert.equal(second.status, 409)
      assert.equal(codeOf(second), 'idempotency_outcome_not_kept')
      assert.equal(memberOf(second, 'originalStatus'), 200)
      const [, echoed] = await subject.askTwice({ key: 'k2', body: Buffer.alloc(6000) })
      assert.equal(memberOf(echoed, 'location'), '/echo/2')
      assert.equal(await subject.effects(), 2)
    },
  ),

  courtesy('the key is echoed as it was sent, in first answers, replays and refusals', [], async (subject) => {
    const key = '"k1";a=1'
    const answers = [...(await subject.askTwice({ key, body: '1' })), await subject.ask({ key, body: '2' })]
    assert.deepEqual(
      answers.map(({ status, headers }) => [status, headers['idempotency-key']]),
      [
        [201, key],
        [201, key],
        [422, key],
      ],
    )
  }),

  courtesy(
    'a replay carries the CORS headers of its own request, and the marker is exposed',
    ['--cors', 'https://a.test,https://b.test'],
    async (subject) => {
      const of = (origin: string): Promise<Answered> => ask(subject.url, { key: 'k1', body: '1', headers: { origin } })
      const answers = [await of('https://a.test'), await of('https://b.test'), await of('https://c.test')]
      assert.deepEqual(
        answers.map(({ headers }) => headers['access-control-allow-origin']),
        ['https://a.test', 'https://b.test', undefined],
      )
      assert.deepEqual(
        answers.slice(0, 2).map(({ headers }) => headers.vary),
        ['Origin', 'Origin'],
      )
      assert.equal(answers[1]?.headers['access-control-expose-headers'], 'ETag, Idempotent-Replayed')
      assert.equal(answers[2]?.headers['access-control-expose-headers'], undefined)
      assert.deepEqual(answers.map(isReplay), [false, true, true])
    },
  ),
]
