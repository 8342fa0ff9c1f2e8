import assert from 'node:assert/strict'
import { once as eventOf } from 'node:events'
import { connected, isReplay, rawPost, sendRaw } from './ask.ts'
import { courtesy, safety, type Behaviour } from './behaviour.ts'

const marker = /\r\nidempotent-replayed: true\r\n/i

/** What RFC 9110 and RFC 9112 let clients say on a connection. */
export const wireBehaviours: readonly Behaviour[] = [
  safety('a body sent in chunks is the same input as one sent with its length', [], async (subject) => {
    const body = Buffer.from('{"a":1}')
    const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
    const first = await subject.ask({ key: 'k1', body, headers })
    const second = await subject.ask({ key: 'k1', body: '{"a":1}' })
    assert.deepEqual([first.text, second.text, isReplay(second)], ['{"a":1}', '{"a":1}', true])
    assert.equal(await subject.effects(), 1)
  }),

  safety('identical requests in a row on one connection run once and are answered in turn', [], async (subject) => {
    const head = 'POST /slow?ms=100 HTTP/1.1\r\nHost: fixture\r\nIdempotency-Key: k1\r\nContent-Length: 0\r\n'
    const answers = await sendRaw(subject.url, `${head}\r\n${head}\r\n${head}Connection: close\r\n\r\n`)
    assert.equal(answers.match(/HTTP\/1\.1 200 /g)?.length, 3)
    assert.equal(answers.match(/slept:100 effect:1/g)?.length, 3)
    assert.equal(answers.match(new RegExp(marker, 'gi'))?.length, 2)
    assert.equal(await subject.effects(), 1)
  }),

  safety(
    'a client that asks before it sends the body is told to go on, and has a replay the second time',
    [],
    async (subject) => {
      for (const time of [1, 2]) {
        const socket = await connected(subject.url)
        let received = ''
        socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
        const closed = eventOf(socket, 'close')
        socket.write(
          'POST /echo HTTP/1.1\r\nHost: fixture\r\nConnection: close\r\nIdempotency-Key: k1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n',
        )
        await eventOf(socket, 'data')
        assert.match(received, /^HTTP\/1\.1 100 /)
        socket.write('hello')
        await closed
        assert.match(received, /HTTP\/1\.1 201 [^]*\r\n\r\n(?:5\r\n)?hello/)
        assert.equal(marker.test(received), time === 2)
      }
      assert.equal(await subject.effects(), 1)
    },
  ),

  courtesy('a client of HTTP/1.0 has answers that it can read', [], async (subject) => {
    const question = (path: string): string =>
      `POST ${path} HTTP/1.0\r\nHost: fixture\r\nIdempotency-Key: k1\r\nContent-Length: 0\r\n\r\n`
    const [first, second] = [await sendRaw(subject.url, question('/binary')), await sendRaw(subject.url, question('/binary'))]
    for (const answer of [first, second]) {
      assert.doesNotMatch(answer, /\r\ntransfer-encoding:/i)
      assert.equal(answer.slice(answer.indexOf('\r\n\r\n') + 4).length, 256)
    }
    assert.ok(!marker.test(first) && marker.test(second))
    const [streamed, replayed] = [
      await sendRaw(subject.url, question('/stream?chunks=3&ms=20')),
      await sendRaw(subject.url, question('/stream?chunks=3&ms=20')),
    ]
    for (const answer of [streamed, replayed]) assert.match(answer, /\r\n\r\nchunk:0\nchunk:1\nchunk:2\n$/)
  }),

  safety('a client that half-closes its connection has the outcome then or when it asks again, once', [], async (subject) => {
    const socket = await connected(subject.url)
    let received = ''
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
    const closed = eventOf(socket, 'close')
    socket.end(rawPost('/slow?ms=200', ['Idempotency-Key: k1']))
    await closed
    const again = await subject.ask({ path: '/slow?ms=200', key: 'k1' })
    assert.equal(again.text, 'slept:200 effect:1')
    if (received !== '') assert.match(received, /slept:200 effect:1$/)
    assert.equal(await subject.effects(), 1)
  }),
]
