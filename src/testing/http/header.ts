import assert from 'node:assert/strict'
import { codeOf, isReplay, rawPost, sendRaw } from './ask.ts'
import { courtesy, safety, type Behaviour } from './behaviour.ts'

/** Keys that no server may take for one. */
const malformed = [
  '"abc',
  '"abc"x',
  'a"b',
  '""',
  '',
  'a b',
  'a,b',
  '"caf\xe9"',
  'caf\xe9',
  `"${'k'.repeat(256)}"`,
  'k'.repeat(256),
]

/** Behaviours 1 to 6: the header. */
export const headerBehaviours: readonly Behaviour[] = [
  safety('a quoted and a bare key are the same key', [], async (subject) => {
    const first = await subject.ask({ key: '"8e03978e-40d5-43dd-bc93-6894a57f9324"', body: '1' })
    const second = await subject.ask({ key: '8e03978e-40d5-43dd-bc93-6894a57f9324', body: '1' })
    assert.equal(first.status, 201)
    assert.ok(!isReplay(first) && isReplay(second))
    assert.equal(await subject.effects(), 1)
  }),

  safety('escapes in a quoted key are undone and parameters are ignored', [], async (subject) => {
    await subject.ask({ key: String.raw`"a\"b"`, body: '1' })
    assert.ok(isReplay(await subject.ask({ key: String.raw`"a\"b";a=1;b="c"`, body: '1' })))
    assert.ok(!isReplay(await subject.ask({ key: String.raw`"a\\b"`, body: '1' })))
    assert.equal(await subject.effects(), 2)
  }),

  ...['/echo', '/optional'].map((path) =>
    safety(`a malformed key is refused and nothing runs on ${path}`, [], async (subject) => {
      for (const key of malformed) {
        const answer = await sendRaw(subject.url, rawPost(path, [`Idempotency-Key: ${key}`]))
        assert.match(answer, /^HTTP\/1.1 400 /, key)
        assert.match(answer, /"code":"idempotency_key_invalid"/, key)
        assert.doesNotMatch(answer, /\r\nidempotency-key:/i, 'what is malformed is not sent back')
      }
      assert.equal(await subject.effects(), 0)
    }),
  ),

  safety('a control byte in the key is refused and nothing runs', [], async (subject) => {
    for (const byte of ['\x01', '\x7f', '\x0b', '\x00']) {
      // Node's parser refuses most of them itself, before there is a request.
      assert.match(await sendRaw(subject.url, rawPost('/echo', [`Idempotency-Key: a${byte}b`])), /^HTTP\/1.1 400 /)
    }
    assert.equal(await subject.effects(), 0)
  }),

  safety('a key that is sent twice is refused and nothing runs', [], async (subject) => {
    const answer = await sendRaw(subject.url, rawPost('/echo', ['Idempotency-Key: a', 'Idempotency-Key: a']))
    assert.match(answer, /^HTTP\/1.1 400 [^]*"code":"idempotency_key_invalid"/)
    assert.equal(await subject.effects(), 0)
  }),

  // An adapter whose framework hands out headers already joined cannot see this one.
  courtesy('two halves of a quoted key in two headers are refused and nothing runs', [], async (subject) => {
    const answer = await sendRaw(subject.url, rawPost('/echo', ['Idempotency-Key: "a', 'idempotency-key: b"']))
    assert.match(answer, /^HTTP\/1.1 400 [^]*"code":"idempotency_key_invalid"/)
    assert.equal(await subject.effects(), 0)
  }),

  safety('white space around a key is no part of it', [], async (subject) => {
    await subject.ask({ key: 'k1', body: '' })
    const answer = await sendRaw(subject.url, rawPost('/echo', ['Content-Type: application/json', 'Idempotency-Key: \t k1 \t']))
    assert.match(answer, /\r\nIdempotent-Replayed: true\r\n/i)
    assert.equal(await subject.effects(), 1)
  }),

  safety('255 characters work, and case tells keys apart', [], async (subject) => {
    const key = 'K'.repeat(255)
    assert.equal((await subject.ask({ key, body: '1' })).status, 201)
    assert.ok(isReplay(await subject.ask({ key, body: '1' })))
    assert.ok(!isReplay(await subject.ask({ key: key.toLowerCase(), body: '1' })))
  }),

  safety("the header's name works in any case", [], async (subject) => {
    await sendRaw(subject.url, rawPost('/echo', ['IDEMPOTENCY-KEY: k1']))
    const answer = await sendRaw(subject.url, rawPost('/echo', ['idempotency-key: k1']))
    assert.match(answer, /\r\nIdempotent-Replayed: true\r\n/i)
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('where strict, the bare form is refused', ['--strict'], async (subject) => {
    assert.equal(codeOf(await subject.ask({ key: 'abc', body: '1' })), 'idempotency_key_invalid')
    assert.equal((await subject.ask({ key: '"abc"', body: '1' })).status, 201)
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('a missing key is refused with a link to the documentation', [], async (subject) => {
    const answer = await subject.ask({ body: '1' })
    assert.equal(answer.status, 400)
    assert.equal(codeOf(answer), 'idempotency_key_missing')
    assert.match(String(answer.headers['link']), /^<https:\/\/[^>]+#idempotency_key_missing>; rel="describedby"/)
    assert.equal(await subject.effects(), 0)
  }),

  safety('without a key an optional route runs every time, without a marker', [], async (subject) => {
    const answers = await subject.askTwice({ path: '/optional', body: '1' })
    assert.deepEqual(
      answers.map(({ status, headers }) => [status, headers['idempotent-replayed'], headers['idempotency-key']]),
      [
        [201, undefined, undefined],
        [201, undefined, undefined],
      ],
    )
    assert.equal(await subject.effects(), 2)
  }),

  courtesy('keys are optional where the option says so', ['--optional-key'], async (subject) => {
    await subject.askTwice({ body: '1' })
    assert.equal(await subject.effects(), 2)
    assert.ok(isReplay((await subject.askTwice({ key: 'k1', body: '1' }))[1]))
  }),
]
