import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { OptionsError, onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { assertNoUnhandledRejections, charge, inMemory } from './support.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')

function refusedWith(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof OptionsError && message.test(error.message)
}

function made(options: object): unknown {
  return onceward({ store: memory(), ...options })
}

describe('onceward() refuses, with an error that names the option,', () => {
  const wrong: readonly (readonly [what: string, options: object, message: RegExp])[] = [
    ['an option that it does not have', { retries: 3 }, /^retries is not an option of onceward\(\): it has store, /],
    ['an option of the object prototype', { ['toString']: 3 }, /^toString is not an option/],
    ['a store that is none', { store: 'onceward.db' }, /^store must be given/],
    ['no store', { store: undefined }, /^store must be given/],
    ['a listener that is no function', { onEvent: {} }, /^onEvent must be a function/],
    ['a lease of nothing', { lease: 0 }, /^lease is 0/],
    ['a lease in words', { lease: 'long' }, /^lease is 'long'/],
    ['an attempt timeout of nothing', { attemptTimeout: '0s' }, /^attemptTimeout is '0s'/],
    ['a store timeout below zero', { storeTimeout: -5 }, /^storeTimeout is -5/],
    ['waiters below zero', { waitersMax: -1 }, /^waitersMax must be a whole number from 0/],
    ['waiters in halves', { waitersMax: 0.5 }, /^waitersMax must be a whole number from 0/],
    ['outcome bytes without end', { outcomeBytesMax: Infinity }, /^outcomeBytesMax must be a whole number from 0/],
    ['a ttl of nothing', { ttl: 0 }, /^ttl is 0/],
    ['a ttl beyond ten years', { ttl: '3651d' }, /^ttl is '3651d'/],
    ['a ttl with an unknown unit', { ttl: '3w' }, /^ttl is '3w'/],
    ['a remember that is no duration', { remember: true }, /^remember is true/],
    ['a wait below zero', { wait: -1 }, /^wait is -1/],
    ['a wait that is not a number', { wait: NaN }, /^wait is NaN/],
    ['no attempts', { attemptsMax: 0 }, /^attemptsMax must be a whole number from 1/],
    ['attempts in words', { attemptsMax: '3' }, /^attemptsMax must be a whole number from 1/],
    ['a rule that it does not know', { interrupted: 'ignore' }, /^interrupted must be 'retry' or 'hold', not ignore/],
    ['a rule that is no word', { interrupted: 5 }, /^interrupted must be/],
    ['a rule that is null', { interrupted: null }, /^interrupted must be/],
    ['a rule for a cause that it does not know', { interrupted: { crashed: 'hold' } }, /^interrupted\.crashed is not an option/],
    ['an unknown rule for a cause', { interrupted: { thrown: 'ignore' } }, /^interrupted must be 'retry' or 'hold', not ignore/],
  ]
  for (const [what, options, message] of wrong) test(what, () => assert.throws(() => made(options), refusedWith(message)))

  test('no options at all', () => {
    const call = onceward as (options?: unknown) => unknown
    assert.throws(() => call(), refusedWith(/^onceward\(\) takes an object of options/))
    assert.throws(() => call(null), refusedWith(/^onceward\(\) takes an object of options/))
  })
})

describe('an option given as undefined', () => {
  test('is an option left out', async () => {
    const nothing: object = { ttl: undefined, wait: undefined, lease: undefined, onEvent: undefined, interrupted: undefined }
    const once = onceward({ store: memory(), ...nothing })
    assert.equal(await once.run({ ...charge, ...nothing }, () => 1), 1)
  })
})

describe('a call is rejected, and nothing runs, with', () => {
  const wrong: readonly (readonly [what: string, options: object, message: RegExp])[] = [
    ['a ttl of nothing', { ttl: 0 }, /^ttl is 0/],
    ['a wait below zero', { wait: '-1s' }, /^wait is '-1s'/],
    ['a remember below zero', { remember: -1 }, /^remember is -1/],
    ['no attempts', { attemptsMax: 0 }, /^attemptsMax must be/],
    ['an unknown rule', { interrupted: 'never' }, /^interrupted must be/],
  ]
  for (const [what, options, message] of wrong)
    test(what, async () => {
      const once = inMemory()
      await assert.rejects(once.run({ ...charge, ...options }, never), refusedWith(message))
      assert.deepEqual(await once.peek(charge), { state: 'absent' })
    })
})

test('operation() refuses wrong options where it is defined, not where it is called', () => {
  const once = inMemory()
  assert.throws(() => once.operation('charge', { attemptsMax: -1 }, never), refusedWith(/^attemptsMax must be/))
})
