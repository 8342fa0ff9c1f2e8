import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as errors from '../../src/core/errors.ts'

const { InputError, isOncewardError, OncewardError, Refusal, refusal } = errors

/** One of each class; a class without one fails the first test. */
const examples: errors.OncewardError[] = [
  new errors.AttemptEndedError('x was not done'),
  new errors.AttemptTimeoutError(5),
  new errors.BusyError(5, false),
  new errors.ClosedError(),
  new errors.ExpiredError(),
  new errors.HeldError(2, 'lapsed'),
  new errors.InputError('x'),
  new errors.LeaseLostError('x'),
  new errors.MismatchError(),
  new errors.NestedRunError('charge'),
  new errors.OptionsError('x'),
  new errors.OutcomeNotKeptError(),
  new errors.Refusal(422, 'x'),
  new errors.StoreDataError('x'),
  new errors.StoreFullError('x'),
  new errors.StoreOpenError('x'),
  new errors.StoreUnavailableError(new Error('x')),
  new errors.TransactionTimeoutError(5),
  new errors.UncertainError('x'),
]

test('every error has its own code, and its class as its name', () => {
  const classes = Object.values(errors).filter((value) => 'prototype' in value && value.prototype instanceof OncewardError)
  assert.deepEqual(new Set(examples.map((error) => error.constructor)), new Set<unknown>(classes))
  assert.equal(new Set(examples.map(({ code }) => code)).size, examples.length)
  for (const error of examples) assert.equal(error.name, error.constructor.name)
})

test('every error is known by isOncewardError, also one of another copy of the library, and nothing else is', () => {
  for (const error of examples) assert.ok(isOncewardError(error), error.name)
  class Foreign extends Error {
    readonly code = 'busy'
  }
  Object.defineProperty(Foreign.prototype, 'onceward', { value: true })
  assert.ok(isOncewardError(new Foreign()))
  const system = Object.assign(new Error('no file'), { code: 'ENOENT' })
  for (const value of [system, new Error('x'), 'busy', null, undefined, { code: 'busy', onceward: true }])
    assert.ok(!isOncewardError(value))
})

test('the mark by which the errors are known is not printed with them', () => {
  assert.deepEqual(Object.keys(new errors.MismatchError()).toSorted(), ['code', 'name'])
})

test('an error that the store caused has the cause and its words', () => {
  const cause = new Error('disk gone')
  assert.equal(new errors.StoreUnavailableError(cause).cause, cause)
  assert.match(new errors.StoreUnavailableError(cause).message, /disk gone/)
  assert.match(new errors.StoreUnavailableError('gone').message, /gone/)
})

test("a refusal's status is 400 to 499", () => {
  for (const status of [400, 422, 499]) assert.equal(refusal(status, 'no').status, status)
  for (const status of [399, 500, 200, 0, NaN, 422.5]) assert.throws(() => refusal(status, 'no'), InputError)
})

test('a refusal has its message and details', () => {
  const error = refusal(422, 'card declined', { retry: false })
  assert.ok(error instanceof Refusal)
  assert.deepEqual([error.message, error.details, error.code], ['card declined', { retry: false }, 'refused'])
})
