import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { InputError, limits, type RunRequest } from 'onceward'
import { assertNoUnhandledRejections, charge, inMemory } from './support.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')

/** An InputError that says this; `run`, `try` and `execute` reject alike. */
async function assertRefused(request: unknown, message: RegExp): Promise<void> {
  const once = inMemory()
  const given = request as RunRequest & { fingerprint: string }
  const refused = (error: unknown): boolean => error instanceof InputError && message.test(error.message)
  await assert.rejects(once.run(given, never), refused)
  await assert.rejects(once.try(given, never), refused)
}

describe('an operation is refused, and nothing runs,', () => {
  const lengths = { scope: limits.scopeLengthMax, name: limits.nameLengthMax, key: limits.keyLengthMax } as const
  for (const [word, lengthMax] of Object.entries(lengths)) {
    test(`without its ${word}`, () => assertRefused({ ...charge, [word]: undefined }, new RegExp(`^${word} must be a string`)))
    test(`when its ${word} is not a string`, () =>
      assertRefused({ ...charge, [word]: 5 }, new RegExp(`^${word} must be a string`)))
    test(`when its ${word} is empty`, () => assertRefused({ ...charge, [word]: '' }, new RegExp(`^${word} is empty`)))
    test(`when its ${word} is one longer than ${lengthMax}, and not at ${lengthMax}`, async () => {
      await assertRefused({ ...charge, [word]: 'x'.repeat(lengthMax + 1) }, new RegExp(`^${word} has ${lengthMax + 1}`))
      assert.equal(await inMemory().run({ ...charge, [word]: 'x'.repeat(lengthMax) }, () => 1), 1)
    })
    test(`when its ${word} has a lone surrogate`, () =>
      assertRefused({ ...charge, [word]: 'a\ud800b' }, new RegExp(`^${word} has a lone surrogate`)))
  }

  test('in peek, resolve and execute as well', async () => {
    const once = inMemory()
    const keyless = { ...charge, key: '' }
    await assert.rejects(once.peek(keyless), InputError)
    await assert.rejects(once.resolve(keyless, 'absent', { actor: 'a', reason: 'b' }), InputError)
    await assert.rejects(
      once.execute({ ...keyless, fingerprint: '0'.repeat(64) }, async () => never()),
      InputError,
    )
  })

  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  for (const [what, input] of [
    ['a function', { callback: () => {} }],
    ['a symbol', Symbol('s')],
    ['NaN', [1, NaN]],
    ['a Map', new Map([[1, 2]])],
    ['a Set', { tags: new Set([1]) }],
    ['a promise', Promise.resolve(1)],
    ['a cycle', cycle],
  ] as const)
    test(`when its input holds ${what}, which cannot be compared`, () =>
      assertRefused({ ...charge, input }, /^the input cannot be compared: .*nothing ran/))

  test('and the refused call leaves no trace: a corrected one is the first', async () => {
    const once = inMemory()
    await assert.rejects(once.run({ ...charge, input: NaN }, never), InputError)
    assert.deepEqual(await once.peek(charge), { state: 'absent' })
    assert.equal(await once.run({ ...charge, input: 1 }, ({ number }) => number), 1)
  })
})

describe('words that are hostile to databases are words like any other:', () => {
  for (const key of [
    '\u0000',
    'a\u0000b',
    "'; DROP TABLE onceward; --",
    '"',
    '`',
    '\\',
    '💥'.repeat(60),
    ' k ',
    'é',
    '%',
    '__proto__',
  ])
    test(JSON.stringify(key), async () => {
      const once = inMemory()
      assert.equal(await once.run({ ...charge, key }, () => 'kept'), 'kept')
      assert.equal(await once.run({ ...charge, key }, never), 'kept')
    })

  test('forms of one letter, cases, and blanks around a key are different keys', async () => {
    const once = inMemory()
    const keys = ['e\u0301', '\u00e9', 'K', 'k', 'k ', ' k']
    const values = []
    for (const [index, key] of keys.entries()) values.push(await once.run({ ...charge, key }, () => index))
    assert.deepEqual(values, [0, 1, 2, 3, 4, 5])
  })
})
