import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { limits } from '../../src/core/limits.ts'
import { parseKey } from '../../src/core/key-syntax.ts'

const uuid = '8e03978e-40d5-43dd-bc93-6894a57f9324'
const longest = 'k'.repeat(limits.keyLengthMax)

function keyOf(header: string, strict = false): string {
  const parsed = parseKey(header, { strict })
  assert.ok(parsed.ok, `${header}: ${parsed.ok ? '' : parsed.reason}`)
  return parsed.key
}

function reasonOf(header: string, strict = false): string {
  const parsed = parseKey(header, { strict })
  assert.ok(!parsed.ok, `${header} was read as ${parsed.ok ? parsed.key : ''}`)
  return parsed.reason
}

describe('a key in quotes', () => {
  const read = [
    ['"K"', 'K'],
    [`"${uuid}"`, uuid],
    ['  "K"  ', 'K'],
    ['"a\\"b"', 'a"b'],
    ['"a\\\\b"', 'a\\b'],
    ['"\\\\\\""', '\\"'],
    ['"a b"', 'a b'],
    ['"a,b;c=1"', 'a,b;c=1'],
    [`"${longest}"`, longest],
    [`"${'\\"'.repeat(limits.keyLengthMax)}"`, '"'.repeat(limits.keyLengthMax)],
  ] as const
  for (const [header, key] of read)
    test(`${header.slice(0, 50)} is the key ${key.slice(0, 50)}, strict or not`, () => {
      for (const strict of [false, true]) assert.equal(keyOf(header, strict), key)
    })

  test('of any printable characters is read as it was written', () => {
    const key = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: limits.keyLengthMax })
    fc.assert(fc.property(key, (text) => keyOf(`"${text.replaceAll(/["\\]/g, '\\$&')}"`, true) === text))
  })

  const parameters = [
    ';a',
    ';a;b',
    '; a',
    ';  *a=1',
    ';a=-1.5',
    ';a=999999999999999',
    ';a=123456789012.123',
    ';a="x\\"y"',
    ';a=tok/en:*',
    ';a=*',
  ]
  const rarer = [';a=:aGk=:', ';a=?0', ';a=@1659578233', ';a=%"f%c3%bc"', ';a_-.*9=1', ';a=1;a=2', ';a=""', ';a=::']
  for (const given of [...parameters, ...rarer])
    test(`may be followed by the parameter ${given}, which is read over`, () => {
      assert.equal(keyOf(`"K"${given}`), 'K')
      assert.equal(keyOf(`"K"${given} `, true), 'K')
    })

  const malformed = [
    ';',
    '; ',
    ';A',
    ';1',
    ';a=',
    ';a= 1',
    ';a =1',
    ' ;a',
    ';a=1.',
    ';a=1.2345',
    ';a=1234567890123456',
    ';a=1234567890123.1',
    ';a=--1',
  ]
  const alsoMalformed = [
    ';a="x',
    ';a="\\x"',
    ';a=:a',
    ';a=?2',
    ';a=@1.5',
    ';a=%"%C3"',
    ';a=%"%c',
    ';a=(1)',
    ';a==1',
    ';;a',
    ';a,',
    ';a="é"',
    ';a=x y',
  ]
  for (const given of [...malformed, ...alsoMalformed])
    test(`followed by the malformed parameter ${given} is refused`, () => {
      for (const strict of [false, true]) reasonOf(`"K"${given}`, strict)
    })
})

describe('a key without quotes', () => {
  for (const key of [
    'K',
    uuid,
    '0',
    'a=b',
    'a:b/c?d#e',
    "it's",
    '{}[]()<>@!$%&*+-.^_`|~',
    '\\',
    ':aGk=:',
    '?1',
    '-1.50',
    longest,
  ])
    test(`${key.slice(0, 50)} is that key, unless strict`, () => {
      assert.equal(keyOf(key), key)
      assert.equal(keyOf(`  ${key} `), key)
      assert.match(reasonOf(key, true), /double quotes/)
    })

  test('and the same key in quotes are one key; case makes another', () => {
    assert.equal(keyOf(uuid), keyOf(`"${uuid}"`))
    assert.notEqual(keyOf('k'), keyOf('K'))
  })

  for (const header of ['a b', 'a,b', 'a, b', 'K;a=1', 'K;', 'a"b', 'K"', ',', ';'])
    test(`${header} is refused: it could be more than one key`, () => {
      assert.match(reasonOf(header), /space, comma, semicolon or quote/)
    })
})

describe('a key header', () => {
  const refused = [
    ['', /empty/],
    ['   ', /empty/],
    ['""', /empty/],
    ['"";a=1', /empty/],
    [`"${longest}k"`, /256 characters, and at most 255/],
    [`${longest}k`, /256 characters, and at most 255/],
    ['"', /closing quote is missing/],
    ['"K', /closing quote is missing/],
    ['"K\\"', /closing quote is missing/],
    ['"a\\b"', /backslash in the key \(character 3\)/],
    ['"a\\', /backslash/],
    ['"K"x', /character 4/],
    ['"K" x', /not a parameter/],
    ['"a", "b"', /send one key, once/],
    ['"a","a"', /send one key, once/],
    ['"K""', /not a parameter/],
    ['"é"', /character 2 is not printable ASCII \(byte 233\)/],
    ['é', /character 1 is not printable ASCII/],
    ['"a\tb"', /byte 9/],
    ['\t"K"', /byte 9/],
    ['"a\0b"', /byte 0/],
    ['a\x7fb', /byte 127/],
    ['"K"\u00a0', /byte 160/],
    ['a\nb', /byte 10/],
  ] as const
  for (const [header, reason] of refused)
    test(`${JSON.stringify(header.slice(0, 50))} is refused with a reason that says where`, () => {
      assert.match(reasonOf(header), reason)
      reasonOf(header, true)
    })

  test('sent twice and joined by commas is never one key', () => {
    const key = fc.string({ unit: fc.constantFrom('a', '1', '-', '"', '\\', ' '), minLength: 1, maxLength: 5 })
    const joined = fc
      .tuple(key, fc.constantFrom(',', ', '), key)
      .filter(([a, , b]) => parseKey(a, { strict: false }).ok && parseKey(b, { strict: false }).ok)
    fc.assert(fc.property(joined, (parts) => !parseKey(parts.join(''), { strict: false }).ok))
  })

  test('of any bytes gives a key of 1 to 255 printable characters, or a reason', () => {
    const header = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 20 })
    fc.assert(
      fc.property(header, fc.boolean(), (text, strict) => {
        const parsed = parseKey(text, { strict })
        return parsed.ok ? /^[ -~]{1,255}$/.test(parsed.key) : parsed.reason.length > 10
      }),
    )
  })

  test('made to be slow is refused in no time', () => {
    const began = process.cpuUsage()
    for (const part of [';a=1', ';a="', '\\"', ' ', ';a=1.1', '*']) reasonOf(`"K"${part.repeat(4_000)}é`)
    assert.ok(process.cpuUsage(began).user < 3_000_000)
  })
})
