import assert from 'node:assert/strict'
import { createHmac, hash } from 'node:crypto'
import { test } from 'node:test'
import { InputError, OptionsError, refusal } from 'onceward'
import { byAuthorization, everyone, storedAnswer } from 'onceward/node'
import { AnswerCopy } from '../../src/http/answer-copy.ts'
import { decodeAnswer, encodeAnswer } from '../../src/http/answer.ts'
import { exposing } from '../../src/http/marker.ts'
import { isEncoded } from '../../src/core/encoded.ts'
import { preferredWaitMs } from '../../src/http/prefer.ts'
import { problem, refusalAnswer } from '../../src/http/problem.ts'
import { unreplayedHeaders } from '../../src/http/unreplayed-headers.ts'

const sha256 = (data: string | Uint8Array): string => hash('sha256', data)
const parsed = (body: Uint8Array): unknown => JSON.parse(Buffer.from(body).toString())

test('the preferred wait is read from among other preferences, in whole seconds', () => {
  for (const [header, ms] of [
    ['wait=10', 10_000],
    ['respond-async, wait=100', 100_000],
    [' Wait = "7" ; x=1', 7_000],
    ['wait=1, wait=9', 1_000],
    ['wait=0', 0],
    ['wait=-1', undefined],
    ['wait=1.5', undefined],
    ['wait=soon', undefined],
    ['waiting=5', undefined],
    ['wait', undefined],
    ['', undefined],
  ] as const)
    assert.equal(preferredWaitMs(header), ms, header)
})

test('a problem has a type that explains it, and says whether to send the request again', () => {
  const { status, headers, body } = problem('idempotency_in_progress', {
    detail: 'running',
    retryAfterMs: 1_001,
    members: { extra: 1 },
  })
  assert.equal(status, 409)
  assert.deepEqual(headers, [
    ['Content-Type', 'application/problem+json'],
    ['Retry-After', '2'],
  ])
  assert.deepEqual(parsed(body), {
    type: 'https://github.com/onceward/onceward/blob/main/docs/errors.md#idempotency_in_progress',
    title: 'The operation is still running',
    status: 409,
    detail: 'running',
    code: 'idempotency_in_progress',
    retryable: true,
    extra: 1,
  })
  assert.ok(
    problem('idempotency_in_progress', { detail: '', retryAfterMs: 0 }).headers.some(
      ([name, value]) => name === 'Retry-After' && value === '1',
    ),
  )
  assert.equal(problem('idempotency_key_reused', { detail: '', status: 400 }).status, 400)
})

test('a refusal is a problem with its status, message and details', () => {
  const { status, body } = refusalAnswer(refusal(402, 'no funds', { balance: 3 }))
  assert.equal(status, 402)
  const { detail, details, code } = parsed(body) as Record<string, unknown>
  assert.deepEqual({ detail, details, code }, { detail: 'no funds', details: { balance: 3 }, code: 'refused' })
})

test('an answer is read back as it was stored, byte by byte', () => {
  const answer = {
    status: 201,
    headers: [
      ['X-A', '1'],
      ['X-A', 'é'],
    ] as const,
    body: new Uint8Array([0, 255]),
  }
  assert.deepEqual(decodeAnswer(encodeAnswer(answer)), answer)
  for (const meta of ['json', 'none', '', '{', '{}', '{"status":"200","headers":[]}', 'null'])
    assert.equal(decodeAnswer({ kept: true, meta, body: new Uint8Array(0) }), undefined, meta)
})

test("an operator's answer is an outcome, and a wrong one is refused with the remedy", () => {
  const outcome = storedAnswer({ status: 201, headers: { Location: '/a', 'X-B': ['1', '2'] }, body: 'é' })
  assert.ok(isEncoded(outcome))
  assert.deepEqual(decodeAnswer(outcome)?.headers, [
    ['Location', '/a'],
    ['X-B', '1'],
    ['X-B', '2'],
  ])
  assert.deepEqual([...outcome.body], [0xc3, 0xa9])
  for (const wrong of [
    { status: 100 },
    { status: 600 },
    { status: 200.5 },
    { status: 200, headers: { 'a b': '1' } },
    { status: 200, headers: { a: 'x\r\nSet-Cookie: y' } },
    { status: 200, headers: { a: 1 as never } },
    { status: 200, body: {} as never },
  ])
    assert.throws(() => storedAnswer(wrong), InputError, JSON.stringify(wrong))
})

test('the copy of an answer is kept up to its limit, and beyond it only where to look', () => {
  const head = {
    status: 201,
    headers: [
      ['Location', '/a'],
      ['X-B', '1'],
    ] as const,
  }
  const overhead = JSON.stringify(head).length
  const outcomeOf = (size: number, bytesMax: number): ReturnType<AnswerCopy['outcome']> => {
    const copy = new AnswerCopy(bytesMax)
    for (let at = 0; at < size; at += 10) copy.add(new Uint8Array(Math.min(10, size - at)).fill(7))
    return copy.outcome(head)
  }
  const kept = outcomeOf(25, overhead + 25)
  assert.deepEqual([kept.kept, kept.body], [true, new Uint8Array(25).fill(7)])
  for (const unkept of [outcomeOf(26, overhead + 25), outcomeOf(5_000, 100)])
    assert.deepEqual([unkept.kept, unkept.body.length, decodeAnswer(unkept)?.headers], [false, 0, [['Location', '/a']]])
})

test('the body of an answer that has none is not kept', () => {
  const copy = new AnswerCopy(1_000)
  copy.add(new Uint8Array(5))
  assert.equal(copy.outcome({ status: 204, headers: [] }).body.length, 0)
})

test('the marker is exposed beside what the application exposes, once', () => {
  assert.equal(exposing('ETag'), 'ETag, Idempotent-Replayed')
  assert.equal(exposing('etag, idempotent-replayed'), 'etag, idempotent-replayed')
  assert.equal(exposing(' * '), ' * ')
})

test('headers of one exchange are not replayed, others are', () => {
  const names = unreplayedHeaders(['X-Mine'])
  for (const name of [
    'date',
    'set-cookie',
    'age',
    'x-request-id',
    'x-amzn-requestid',
    'x-ratelimit-reset',
    'ratelimit',
    'access-control-allow-origin',
    'traceparent',
    'x-b3-spanid',
    'x-mine',
    'connection',
    'transfer-encoding',
    'content-length',
  ])
    assert.ok(names.has(name), name)
  for (const name of [
    'content-type',
    'location',
    'etag',
    'link',
    'cache-control',
    'vary',
    'retry-after',
    'x-custom',
    'content-disposition',
  ])
    assert.ok(!names.has(name), name)
})

test('callers are told apart by a keyed digest of their credentials', () => {
  const scope = byAuthorization({ secret: 'a secret of some length' })
  const expected = createHmac('sha256', 'a secret of some length').update('Bearer é').digest('hex')
  assert.equal(scope({ headers: { authorization: 'Bearer é' } }, sha256), `authorization:${expected}`)
  assert.equal(scope({ headers: {} }, sha256), 'anonymous')
  const long = 'k'.repeat(100)
  assert.equal(
    byAuthorization({ secret: long })({ headers: { authorization: 'x' } }, sha256),
    `authorization:${createHmac('sha256', long).update('x').digest('hex')}`,
  )
  assert.equal(everyone(), 'everyone')
  for (const secret of ['', 'short', undefined]) assert.throws(() => byAuthorization({ secret: secret as string }), OptionsError)
})
