import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { canonicalJson } from '../../src/core/canonical-json.ts'
import { limits } from '../../src/core/limits.ts'

function assertSame(...texts: string[]): void {
  const forms = texts.map((text) => canonicalJson(text))
  assert.notEqual(forms[0], undefined)
  assert.deepEqual(new Set(forms).size, 1, forms.join(' | '))
}

function assertApart(...texts: string[]): void {
  const forms = texts.map((text) => canonicalJson(text))
  assert.ok(!forms.includes(undefined))
  assert.equal(new Set(forms).size, texts.length, forms.join(' | '))
}

describe("RFC 8785's own examples", () => {
  test('of §3.2.2: structure, strings and literals; the one number that no double holds keeps its digits', () => {
    const text = String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`
    const form = String.raw`{"literals":[null,true,false],"numbers":[33333333333333329e-8,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
    assert.equal(canonicalJson(text), form)
    assert.equal(
      canonicalJson(text.replace('333333333.33333329', '333333333.3333333'))?.includes('[333333333.3333333,1e+30'),
      true,
    )
  })

  test('of §3.2.3: members sorted by UTF-16 code units', () => {
    const text = String.raw`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
      "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`
    const form =
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",'
    assert.equal(canonicalJson(text), `${form}"😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}`)
  })

  const numbers = [
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ] as const
  for (const [bits, form] of numbers)
    test(`of appendix B: the double ${bits} is written ${form}`, () => {
      const double = Buffer.from(bits, 'hex').readDoubleBE()
      assert.equal(canonicalJson(JSON.stringify(double)), form)
      assert.equal(canonicalJson(form), form)
      assert.equal(canonicalJson(double.toExponential()), form)
    })
})

describe('two JSON texts are the same input', () => {
  test('whatever the order of members and the white space', () => {
    assertSame('{"a":1,"b":[1,2]}', ' { "b" : [ 1 , 2 ] ,\n\t"a" : 1 }\r\n', '{"b":[1, 2],"a":1}', '{"a":1,"b":[1,2] }')
    assertSame('{}', '{ }', ' {}')
    assertSame('[]', '[\n]')
    assertSame('{"a":{"c":1,"b":2},"d":3}', '{"d":3,"a":{"b":2,"c":1}}')
  })

  test('also with very many members', () => {
    const members = Array.from({ length: 300 }, (_, index) => `"k${index}":${index}`)
    const sorted = `{${members.toSorted().join(',')}}`
    assert.equal(canonicalJson(`{${members.join(',')}}`), sorted)
    assert.equal(canonicalJson(`{${members.toReversed().join(',')}}`), sorted)
  })

  test('however a character is escaped', () => {
    assertSame('"a/b"', String.raw`"\u0061\/b"`, String.raw`"a\u002Fb"`)
    assertSame(String.raw`"\u001f\n"`, String.raw`"\u001F\u000A"`)
    assertSame('{"a":1,"b":2}', String.raw`{"\u0062":2,"\u0061":1}`)
    assertSame('"😀"', String.raw`"\ud83d\ude00"`, String.raw`"\uD83D\uDE00"`)
    assertSame(String.raw`"\ud83d"`, String.raw`"\uD83D"`)
    assert.equal(canonicalJson(String.raw`"\uD83D"`), String.raw`"\ud83d"`)
    assertSame('"\ud83d"', String.raw`"\ud83d"`)
    assertSame('{"\udc00":1}', String.raw`{"\udc00":1}`)
  })

  const equalNumbers = [
    ['1', '1.0', '1e0', '10e-1', '1E+0', '0.1e1', '1.000', '100e-02'],
    ['0', '-0', '0.0', '-0.0', '0e5', '0e99999999999999999999999', '-0.00E-7'],
    ['0.1', '0.10', '1e-1', '0.1000000000000000'],
    ['-1.5', '-1.50', '-15e-1'],
    ['100', '1e2', '1.00e2', '100.0'],
    ['0.000001', '1e-6'],
    ['1e-7', '0.0000001', '10e-8'],
    ['1e21', '1000000000000000000000', '1e+21'],
    ['12345678901234567890', '12345678901234567890.0', '1234567890123456789e1', '1.234567890123456789e19'],
    ['9007199254740993', '9007199254740993.0', '90071992547409930e-1'],
    ['1e400', '10e399', '1E+0400', '0.1e401'],
    ['-1e-400', '-10e-401'],
    ['1e999999999', '10e999999998'],
    ['123456789012345', '123456789012345.0'],
  ]
  for (const numbers of equalNumbers) test(`when their numbers are ${numbers.join(', ')}`, () => assertSame(...numbers))
})

describe('two JSON texts are different inputs', () => {
  const others = [
    ['{"a":null}', '{}'],
    ['[1,2]', '[2,1]', '[[1,2]]', '[1,[2]]', '[12]', '[1,2,null]'],
    ['"1"', '1', 'true', 'false', 'null', '""', '[]', '{}', '{"":1}', '"a"', '"A"'],
    ['"é"', '"e\u0301"'],
    [String.raw`"\ud800"`, '"\ufffd"', String.raw`"\ud801"`, String.raw`"\\ud800"`],
    [String.raw`{"\ud800":1}`, '{"\ufffd":1}'],
    ['{"__proto__":1}', '{}', '{"__proto__":{}}', '{"constructor":1}', '{"toString":1}'],
    ['{"a":1,"b":2}', '{"a":2,"b":1}', '{"a,b":2}'],
    ['{"a b":1}', '{"a":1}', '{"a!":1}'],
  ]
  for (const texts of others) test(texts.join(' and '), () => assertApart(...texts))

  const numbers = [
    ['12345678901234567890', '12345678901234567891', '12345678901234567168', '1234567890123456789', '-12345678901234567890'],
    ['9007199254740992', '9007199254740993', '9007199254740994'],
    ['0.1', '0.1000000000000000055511151231257827', '0.10000000000000001'],
    ['1e400', '1e401', '2e400', '1.7976931348623157e308', '1e999999999'],
    ['1e-400', '0', '1e-401', '5e-324', '4.9406564584124654e-324'],
  ]
  for (const texts of numbers) test(`whose numbers are ${texts.join(', ')}`, () => assertApart(...texts))
})

describe('a text counts as bytes', () => {
  const bad = [
    '',
    ' ',
    'nul',
    'nulll',
    'True',
    'undefined',
    'NaN',
    'Infinity',
    '-Infinity',
    '-',
    '+1',
    '01',
    '-01',
    '1.',
    '.5',
    '1.e1',
    '1e',
    '1e+',
    '0x1',
    '1_0',
  ]
  const worse = [
    '[',
    ']',
    '[1',
    '[1,]',
    '[,1]',
    '[1,,2]',
    '[1 2]',
    '{',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{,}',
    "{'a':1}",
    '{a:1}',
    '{"a":1 "b":2}',
    '{"a":1',
    '{1:1}',
  ]
  const strings = [
    '"',
    '"a',
    '"\\"',
    '"\\x"',
    '"\\u12"',
    '"\\u12g4"',
    '"\\',
    "'a'",
    '"a\nb"',
    '"a\tb"',
    '"\0"',
    '"\\\n"',
    '"a""b"',
  ]
  const around = [
    '1 2',
    '{} {}',
    '//1',
    '1//',
    '/**/1',
    '\ufeff1',
    '\u00a01',
    '1\u2028',
    '[1}',
    '{"a":1]',
    '1\v',
    '[\f1]',
    '\x01',
  ]
  for (const text of [...bad, ...worse, ...strings, ...around])
    test(`that is not JSON: ${JSON.stringify(text)}`, () => assert.equal(canonicalJson(text), undefined))

  const twice = [
    '{"a":1,"a":1}',
    '{"a":1,"b":2,"a":3}',
    String.raw`{"a":1,"\u0061":2}`,
    '[{"x":{"a":1,"a":2}}]',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
  ]
  for (const text of twice) test(`that has a member name twice: ${text}`, () => assert.equal(canonicalJson(text), undefined))

  test('that has a member name twice among very many', () => {
    const members = Array.from({ length: 1_000 }, (_, index) => `"k${(index * 7_919) % 1_000}":${index}`)
    assert.notEqual(canonicalJson(`{${members.join(',')}}`), undefined)
    assert.equal(canonicalJson(`{${[...members, '"k500":0'].join(',')}}`), undefined)
  })

  test('that is nested one deeper than jsonDepthMax, or a hundred thousand deep', () => {
    const arrays = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
    const objects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
    for (const nested of [arrays, objects]) {
      assert.equal(canonicalJson(nested(limits.jsonDepthMax)), nested(limits.jsonDepthMax))
      assert.equal(canonicalJson(nested(limits.jsonDepthMax + 1)), undefined)
      assert.equal(canonicalJson(nested(100_000)), undefined)
    }
    assert.notEqual(canonicalJson(`[${arrays(63)},${arrays(63)}]`), undefined, 'depth is not counted along the way')
  })

  test('whose number has an exponent of more than 15 digits, and is not zero', () => {
    assert.equal(canonicalJson('1e1000000000000000'), undefined)
    assert.notEqual(canonicalJson('1e999999999999999'), undefined)
    assert.notEqual(canonicalJson('1e0000000000000000000001'), undefined)
  })
})

describe('for any JSON', () => {
  /** RFC 8785 as naively as it can be said, for what a double holds. */
  function naive(value: unknown): string {
    if (typeof value !== 'object' || value === null) return JSON.stringify(value)
    if (Array.isArray(value)) return `[${value.map(naive).join(',')}]`
    const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${naive(member)}`).join(',')}}`
  }

  const units = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)), maxLength: 8 })
  const json = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      fc.oneof(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        units,
        fc.string(),
      ),
      fc.array(tie('value'), { maxLength: 5 }),
      fc.dictionary(fc.oneof(units, fc.constantFrom('__proto__', 'a', 'b', 'aa')), tie('value'), { maxKeys: 30, size: 'small' }),
    ),
  })).value

  test('the form is that of sorting and writing it anew, compact or spread out', () => {
    fc.assert(
      fc.property(json, (value) => {
        const form = naive(value)
        assert.equal(canonicalJson(JSON.stringify(value)), form)
        assert.equal(canonicalJson(JSON.stringify(value, null, 2)), form)
        assert.equal(canonicalJson(form), form)
      }),
      { numRuns: 300 },
    )
  })

  test('a text has a form exactly when JSON.parse reads it, names and depth aside', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"b"',
      '"',
      '\\',
      'u0061',
      '1',
      '0',
      '-',
      '.',
      'e',
      '+',
      'null',
      'true',
      ' ',
      '\n',
      '\x01',
      '\ud800',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        const text = pieces.join('')
        const form = canonicalJson(text)
        const value = parsed(text)
        if (value === undefined) assert.equal(form, undefined, text)
        else if (form !== undefined) assert.deepEqual(JSON.parse(form), value, text)
      }),
      { numRuns: 3_000 },
    )
  })

  function parsed(text: string): unknown {
    try {
      return JSON.parse(text, (_, value: unknown) => (Object.is(value, -0) ? 0 : value))
    } catch {
      return undefined
    }
  }

  test('two numbers have one form exactly when they are the same decimal value', () => {
    const digits = fc.string({ unit: fc.constantFrom('0', '1', '5', '9'), minLength: 1, maxLength: 22 })
    const written = fc.tuple(digits, digits, fc.integer({ min: -30, max: 30 }))
    const text = ([whole, fraction, exponent]: [string, string, number]): string =>
      `${whole.replace(/^0+(?=\d)/, '')}.${fraction}e${exponent}`
    const scaled = ([whole, fraction, exponent]: [string, string, number]): bigint =>
      BigInt(whole + fraction) * 10n ** BigInt(exponent - fraction.length + 60)
    fc.assert(
      fc.property(written, written, (a, b) => (canonicalJson(text(a)) === canonicalJson(text(b))) === (scaled(a) === scaled(b))),
    )
    const longer = ([whole, fraction, exponent]: [string, string, number]): string =>
      text([`${whole}${fraction[0]}`, `${fraction.slice(1)}00`, exponent - 1])
    fc.assert(fc.property(written, (number) => canonicalJson(text(number)) === canonicalJson(longer(number))))
  })
})

test('a megabyte made to be slow takes no longer than a megabyte', () => {
  const zeros = '0'.repeat(500_000)
  const names = Array.from({ length: 50_000 }, (_, index) => `"${String((index * 7) % 50_000).padStart(6, '0')}":0`).join(',')
  const began = process.cpuUsage()
  for (const text of [
    `0.${zeros}1`,
    `1${zeros}1`,
    `1e${'9'.repeat(500_000)}`,
    `-0.${zeros}`,
    `{${names}}`,
    `"${'\\u0061'.repeat(80_000)}"`,
    ' '.repeat(1_000_000),
  ])
    canonicalJson(text)
  assert.ok(process.cpuUsage(began).user < 3_000_000)
})
