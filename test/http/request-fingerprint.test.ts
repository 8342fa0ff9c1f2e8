import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { mediaType } from '../../src/http/media-type.ts'
import { multipartParts } from '../../src/http/multipart.ts'
import { ownFingerprint, requestFingerprint, sortedQuery, type RequestInput } from '../../src/http/request-fingerprint.ts'

const sha256 = (data: string | Uint8Array): string => hash('sha256', data)
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

function of(changes: Partial<RequestInput>): string {
  const input = { method: 'POST', path: '/', query: '', contentType: 'application/json', contentEncoding: '', body: bytes('{}') }
  return requestFingerprint({ ...input, ...changes }, ['query', 'mediaType', 'body'], sha256)
}

test('each part of a request tells it from another', () => {
  const all = [
    {},
    { method: 'PATCH' },
    { path: '/a' },
    { query: 'a=1' },
    { query: 'a=2' },
    { contentType: 'text/plain' },
    { contentType: '' },
    { contentEncoding: 'gzip' },
    { body: bytes('') },
    { body: bytes('[]') },
  ].map(of)
  assert.equal(new Set(all).size, all.length)
  assert.match(all[0] ?? '', /^[\da-f]{64}$/)
})

test('JSON is compared by its meaning, and what is no JSON by its bytes', () => {
  const same = ['{"a":1,"b":[1.0]}', '{ "b" : [1], "a": 1e0 }'].map((text) => of({ body: bytes(text) }))
  assert.equal(same[0], same[1])
  const problem = 'application/problem+json'
  assert.equal(
    of({ contentType: problem, body: bytes('{"a":1,"b":2}') }),
    of({ contentType: problem, body: bytes('{"b":2,"a":1}') }),
  )
  const different = ['{"a":1,"a":1}', '{"a":1}', '{', '{ ', '"\xff"', '"\xef\xbf\xbd"', '\xef\xbb\xbf{}', '{}', ''].map((text) =>
    of({ body: bytes(text) }),
  )
  assert.equal(new Set(different).size, different.length)
  assert.notEqual(
    of({ contentType: 'text/plain', body: bytes('{"a":1}') }),
    of({ contentType: 'text/plain', body: bytes('{ "a":1}') }),
  )
})

test('an encoded body is compared by its bytes', () => {
  const gzip = (text: string): string => of({ contentEncoding: 'gzip', body: bytes(text) })
  assert.notEqual(gzip('{"a":1,"b":2}'), gzip('{"b":2,"a":1}'))
})

test('what a parser left is the same input as the text it was made from', () => {
  const raw = of({ body: bytes('{"a":[1,"x"],"b":null}') })
  assert.equal(of({ body: { parsed: { b: null, a: [1, 'x'] } } }), raw)
  assert.equal(of({ body: { parsed: bytes('{"b":null,"a":[1,"x"]}') } }), raw)
  assert.equal(of({ body: { parsed: '{"b":null, "a":[1,"x"]}' } }), raw)
  assert.notEqual(of({ body: { parsed: { a: [1, 'x'] } } }), raw)
})

test('parameters are compared by name, and those of one name in their order', () => {
  assert.equal(sortedQuery('b=1&a=2&a=1&c'), 'a=2&a=1&b=1&c')
  assert.equal(sortedQuery('a=2&b=1&c&a=1'), 'a=2&a=1&b=1&c')
  assert.equal(sortedQuery('a'), 'a')
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'aa'), fc.nat(9))), (parameters) => {
      const query = parameters.map(([name, value]) => `${name}=${value}`)
      const byName = ['aa', 'b', 'c', 'a'].flatMap((name) => query.filter((text) => text.startsWith(`${name}=`)))
      assert.equal(sortedQuery(query.join('&')), sortedQuery(byName.join('&')))
    }),
  )
})

test('a media type is compared without case, white space and what says nothing', () => {
  for (const [header, text] of [
    ['Application/JSON', 'application/json'],
    ['application/json; charset=utf-8', 'application/json'],
    ['application/json;Charset="UTF8"', 'application/json'],
    ['application/json; charset=utf-16', 'application/json;charset="utf-16"'],
    ['application/vnd.a+json; v=1; charset=utf-8', 'application/vnd.a+json;v="1"'],
    ['text/plain; charset=UTF-8', 'text/plain;charset="utf-8"'],
    ['text/plain; b="x; y"; a=1', 'text/plain;a="1";b="x; y"'],
    ['multipart/form-data; boundary=abc', 'multipart/form-data'],
    ['', ''],
    [';', ''],
  ] as const)
    assert.equal(mediaType(header).text, text, header)
  assert.equal(mediaType('multipart/form-data; boundary="a b"').boundary, 'a b')
})

const partOf = fc.record({
  name: fc.stringMatching(/^[a-z]{1,8}$/),
  value: fc.stringMatching(/^[ -~]{0,20}$/),
  body: fc.uint8Array({ maxLength: 60 }),
})

function multipart(boundary: string, parts: readonly { name: string; value: string; body: Uint8Array }[]): Buffer {
  const written = parts.map(({ name, value, body }) =>
    Buffer.concat([bytes(`--${boundary}\r\n${name}: ${value}\r\n\r\n`), body, bytes('\r\n')]),
  )
  return Buffer.concat([...written, bytes(`--${boundary}--\r\n`)])
}

test('a multipart body is its parts, whatever stands between them', () => {
  fc.assert(
    fc.property(fc.array(partOf, { minLength: 1, maxLength: 4 }), (parts) => {
      const [one, two] = ['boundary-one-74', 'boundary-two-75'].map((boundary) =>
        multipartParts(multipart(boundary, parts), boundary),
      )
      assert.deepEqual(one, two)
      assert.deepEqual(
        one?.map(({ body }) => Buffer.from(body)),
        parts.map(({ body }) => Buffer.from(body)),
      )
    }),
  )
})

test('parts that differ in a byte, a header or their order are another input', () => {
  const form = (text: string): string => of({ contentType: 'multipart/form-data; boundary=b', body: bytes(text) })
  const all = [
    '--b\r\nA: 1\r\n\r\none\r\n--b\r\nA: 2\r\n\r\ntwo\r\n--b--',
    '--b\r\nA: 2\r\n\r\ntwo\r\n--b\r\nA: 1\r\n\r\none\r\n--b--',
    '--b\r\nA: 1\r\n\r\none\r\n--b--',
    '--b\r\nA: 1\r\n\r\none\r\n\r\n--b--',
    '--b\r\nA: 3\r\n\r\none\r\n--b--',
    '--b\r\nA: 1\r\nB: 1\r\n\r\none\r\n--b--',
    '--b\r\n\r\none\r\n--b--',
    '--b--',
  ].map(form)
  assert.equal(new Set(all).size, all.length)
  assert.equal(
    form('--b\r\nA: 1\r\nB: 2\r\n\r\none\r\n--b--'),
    form('preamble\r\n--b \r\nb:2\r\na:  1\r\n\r\none\r\n--b--\r\nepilogue'),
  )
})

test('a multipart body that is not well-formed is compared by its bytes', () => {
  for (const body of ['', 'x', '--b', '--b\r\n', '--b\r\nA: 1\r\n\r\nnever closed', '--b\r\nA: 1\r\n--b--', '--bx\r\n\r\n--b'])
    assert.equal(multipartParts(bytes(body), 'b'), undefined, body)
})

test("an application's own input is compared with method and path", () => {
  const all = [
    ownFingerprint('POST', '/', 1, sha256),
    ownFingerprint('POST', '/', 2, sha256),
    ownFingerprint('POST', '/a', 1, sha256),
  ]
  assert.equal(new Set(all).size, 3)
  assert.equal(ownFingerprint('POST', '/', { a: 1, b: 2 }, sha256), ownFingerprint('POST', '/', { b: 2, a: 1 }, sha256))
})
