import { strict as assert } from 'node:assert'
import { limits } from '../../core/limits.ts'
import type { Outcome } from '../../core/record.ts'
import type { RecordFilter } from '../../core/store.ts'
import { assertFound } from './assertions.ts'
import { claimOf, complete, fence, interrupt, policyOf, step } from './fixtures.ts'
import { courtesy, safety, type ContractCase, type Subject } from './subject.ts'

/** Words that quoting, terminators, collations, trimming or a wrong length would damage. */
const hostile: readonly string[] = [
  'NUL \u0000 and on',
  '\u0000',
  'control \u0001\u001b\u007f\r\n\t',
  "quotes ' '' \" ` ´",
  'backslashes \\ \\\\ \\0 \\x00 \\n \\u0000',
  "'; DROP TABLE operation; --",
  '$1 ?1 :name @name %s {0} ${key}',
  'emoji 👩‍👩‍👧‍👦 🏳️‍🌈 𝒳',
  'right to left \u202e\u05d0 and \u0627',
  'zero\u200bwidth\ufeff',
  'null',
  'true',
  '1e3',
  '{"a":1}',
  '%_*?[a-z]^$.|()+',
  '../../etc/passwd',
  '\ufffd\uffff',
]

/** Words of which each is another operation, whatever a collation thinks. */
const distinct: readonly string[] = [
  ...[
    'key',
    'KEY',
    'Key',
    'kéy',
    'ke\u0301y',
    'kéY',
    'key ',
    ' key',
    'key\t',
    'key\u0000',
    'key\u0000\u0000',
    'ｋey',
    'ke\u200by',
  ],
  ...['straße', 'strasse', 'STRASSE', 'İ', 'i', 'I', 'ı', 'ﬁ', 'fi', '1', '01', '1.0', '+1', '𝟏'],
]

const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index)

async function completedWith(subject: Subject, outcome: Outcome): Promise<void> {
  await subject.claim()
  await subject.settled({ kind: 'complete', ...fence(), outcome })
  assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'completed', outcome })
}

function wordsCase(word: 'scope' | 'name' | 'key', lengthMax: number): ContractCase {
  const longest = ['x'.repeat(lengthMax), '\u20ac'.repeat(lengthMax), `${'👍'.repeat((lengthMax - 1) / 2)}.`]
  return courtesy(`a ${word} of any characters, up to ${lengthMax} of them, comes back as it was given`, async (subject) => {
    for (const value of [...hostile, ...longest]) {
      const claim = claimOf({ [word]: value })
      assertFound(await subject.claim(claim), { state: 'claimed', attempt: 1, steps: [] })
      const { scope, name, key } = (await subject.view(claim.id))?.record ?? {}
      assert.deepEqual({ scope, name, key }, { scope: claim.scope, name: claim.name, key: claim.key })
    }
  })
}

function bodyCase(what: string, body: Uint8Array): ContractCase {
  return courtesy(`${what} comes back byte for byte, as an outcome and as a step's result`, async (subject) => {
    const kept: Outcome = { kept: true, meta: what, body: body.slice(0, limits.stepBytesMax) }
    await subject.claim()
    await subject.settled(step(fence(), { name: 'step', result: kept }))
    assertFound(await subject.claim(), { state: 'claimed', attempt: 1, steps: [{ name: 'step', result: kept }] })
    await completedWith(subject, { kept: true, meta: what, body })
    const outcome = (await subject.view())?.record.outcome
    assert.ok(outcome && Buffer.compare(outcome.body, body) === 0)
  })
}

/** Words and bytes come back as they were given, and words that only look alike are different. */
export const wordCases: readonly ContractCase[] = [
  safety('keys that differ in case, in spaces, in a NUL or in their form are different operations', async (subject) => {
    const claims = distinct.map((key) => claimOf({ key }))
    const found = await subject.store.claim(claims)
    assert.ok(found.every(({ state }) => state === 'claimed'))
    await subject.store.settle(claims.map(({ id, key }) => complete(fence(1, 'owner-1', id), key)))
    const bodies = (await subject.store.find(claims.map(({ id }) => id))).map((view) => view?.record.outcome?.body)
    assert.deepEqual(
      bodies.map((body) => new TextDecoder().decode(body)),
      distinct,
    )
  }),
  safety('scopes and names that differ in case, in spaces, in a NUL or in their form are kept apart', async (subject) => {
    for (const word of ['scope', 'name'] as const) {
      await subject.store.claim(distinct.map((value) => claimOf({ key: word, [word]: value })))
      for (const value of distinct) {
        const filter: RecordFilter = { [word]: value }
        const { records } = await subject.store.list(filter, 100)
        assert.deepEqual(
          records.map(({ record }) => record[word]),
          [value],
        )
      }
    }
  }),
  safety('owners and fingerprints that differ in case or in a space are different', async (subject) => {
    await subject.claim({ owner: 'owner-a', fingerprint: 'abc' })
    for (const fingerprint of ['ABC', 'abc ', 'ab'])
      assertFound(await subject.claim({ owner: 'owner-a', fingerprint }), { state: 'mismatch' })
    for (const owner of ['OWNER-A', 'owner-a ', 'owner-'])
      assert.equal(await subject.settle(complete(fence(1, owner))), 'stale', `owner '${owner}'`)
    await subject.settled(complete(fence(1, 'owner-a')))
  }),
  wordsCase('scope', limits.scopeLengthMax),
  wordsCase('name', limits.nameLengthMax),
  wordsCase('key', limits.keyLengthMax),
  bodyCase('an empty body', new Uint8Array(0)),
  bodyCase('a body of every byte', everyByte),
  bodyCase(`a body of ${limits.outcomeBytesMax} bytes`, new Uint8Array(limits.outcomeBytesMax).fill(0xff)),
  courtesy('a body that is a part of a larger buffer is kept as that part', async (subject) => {
    await completedWith(subject, { kept: true, meta: '', body: everyByte.subarray(3, 9) })
    assert.deepEqual([...((await subject.view())?.record.outcome?.body ?? [])], [3, 4, 5, 6, 7, 8])
  }),
  courtesy("an outcome's meta of any characters comes back as it was given", async (subject) => {
    await completedWith(subject, { kept: true, meta: [...hostile, ...distinct].join('|'), body: new Uint8Array(1) })
  }),
  courtesy("a step's name and a resolution's words of any characters come back as they were given", async (subject) => {
    await subject.claim({ policy: policyOf({ attemptsMax: 1 }) })
    for (const name of hostile)
      await subject.settled(step(fence(), { name, result: { kept: true, meta: name, body: everyByte } }))
    assert.deepEqual(
      (await subject.view())?.record.steps.map(({ name }) => name),
      hostile,
    )
    await subject.settled(interrupt())
    const resolution = { actor: hostile.join('|'), reason: distinct.join('|') }
    const outcome: Outcome = { kept: true, meta: '', body: everyByte }
    await subject.settled({ kind: 'resolve', id: fence().id, outcome, resolution })
    const found = (await subject.view())?.record.resolution
    assert.deepEqual(found && { actor: found.actor, reason: found.reason }, resolution)
  }),
]
