import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isHeldAfter } from '../../src/core/policy.ts'
import { policyOf } from './support.ts'

const causes = ['answered', 'thrown', 'lapsed'] as const

for (const cause of causes)
  test(`the rule for ${cause} decides whether an attempt that ended so is held, and no other rule does`, () => {
    const { interrupted } = policyOf()
    const onlyThis = policyOf({ interrupted: { ...interrupted, [cause]: 'hold' } })
    for (const other of causes) assert.equal(isHeldAfter(onlyThis, other, 1), other === cause)
  })

test('an attempt below attemptsMax may be followed by another, one at or beyond it is held whatever the cause', () => {
  for (const cause of causes) {
    assert.deepEqual(
      [2, 3, 4].map((attempt) => isHeldAfter(policyOf({ attemptsMax: 3 }), cause, attempt)),
      [false, true, true],
    )
  }
})
