import { strict as assert } from 'node:assert'
import type { InterruptedPolicy } from '../../core/policy.ts'
import { assertFound, type Expected } from './assertions.ts'
import { complete, fence, interrupt, outcomeOf, policyOf, release, sha256, step, stepOf, times } from './fixtures.ts'
import { safety, type ContractCase, type Subject } from './subject.ts'

const { leaseMs, ttlMs, rememberMs, marginMs, afterMs } = times
const otherInput = { fingerprint: sha256('other input'), owner: 'owner-9' }
type Cause = keyof InterruptedPolicy
const causes: readonly Cause[] = ['answered', 'thrown', 'lapsed']

/** The first attempt of the case's operation ends without an outcome. */
async function endedBy(subject: Subject, cause: Cause): Promise<void> {
  if (cause === 'lapsed') subject.pass(leaseMs + afterMs)
  else await subject.settled(interrupt(fence(), cause))
}

function claimed(attempt: number, ...steps: readonly string[]): Expected {
  return { state: 'claimed', attempt, steps: steps.map(stepOf) }
}

const mismatch: Expected = { state: 'mismatch' }

function holding(cause: Cause): InterruptedPolicy {
  return { ...policyOf().interrupted, [cause]: 'hold' }
}

async function generation(subject: Subject, owner: string): Promise<string> {
  const found = await subject.claim({ owner })
  assert.equal(found.state, 'claimed')
  return found.state === 'claimed' ? found.generation : ''
}

const absent: readonly ContractCase[] = [
  safety('a claim of an operation without a record is claimed as attempt 1, without steps', async (subject) => {
    assertFound(await subject.claim(), claimed(1))
  }),
  safety('operations that differ in one word do not see each other', async (subject) => {
    assertFound(await subject.claim(), claimed(1))
    for (const word of ['scope', 'name', 'key'])
      assertFound(await subject.claim({ [word]: 'another', owner: 'owner-2' }), claimed(1))
  }),
  safety('a completed operation past its ttl is claimed as attempt 1 with any input', async (subject) => {
    await subject.claim()
    await subject.settled(step(), complete())
    subject.pass(ttlMs + afterMs)
    assert.equal(await subject.view(), null)
    assertFound(await subject.claim(otherInput), claimed(1))
    await subject.settled(interrupt(fence(1, 'owner-9')))
    assertFound(await subject.claim({ ...otherInput, owner: 'owner-3' }), claimed(2))
  }),
  ...causes.map((cause) =>
    safety(`an operation interrupted as ${cause} counts as absent once the ttl has passed since`, async (subject) => {
      await subject.claim()
      await subject.settled(step())
      await endedBy(subject, cause)
      subject.pass(ttlMs + afterMs)
      assert.equal(await subject.view(), null)
      assertFound(await subject.claim(otherInput), claimed(1))
    }),
  ),
  safety('an operation claimed anew after its record expired has the policy of the new claim', async (subject) => {
    await subject.claim()
    await subject.settled(complete())
    subject.pass(ttlMs + afterMs)
    await subject.claim({ owner: 'owner-2', policy: policyOf({ attemptsMax: 1 }) })
    await subject.settled(interrupt(fence(1, 'owner-2')))
    assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'held', attempt: 1, cause: 'thrown' })
  }),
]

const running: readonly ContractCase[] = [
  safety('a claim of a running operation is busy until its lease ends', async (subject) => {
    await subject.claim()
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs })
    subject.pass(leaseMs - marginMs)
    assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'busy', leaseMs: marginMs })
  }),
  safety('a busy claim changes nothing: the owner still settles', async (subject) => {
    await subject.claim()
    await subject.claim({ owner: 'owner-2', leaseMs: 10 * leaseMs })
    await subject.settled(complete())
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'completed', outcome: outcomeOf('outcome') })
  }),
  safety('a claim of a running operation with another fingerprint is a mismatch, and changes nothing', async (subject) => {
    await subject.claim()
    assertFound(await subject.claim(otherInput), mismatch)
    assertFound(await subject.claim({ ...otherInput, owner: 'owner-1' }), mismatch)
    await subject.settled(complete())
  }),
  safety('the owner of a running attempt that claims again is told the same attempt and has a new lease', async (subject) => {
    await subject.claim()
    await subject.settled(step())
    subject.pass(leaseMs - marginMs)
    assertFound(await subject.claim(), claimed(1, 'step'))
    subject.pass(marginMs + afterMs)
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs: leaseMs - marginMs })
  }),
  safety('the owner of a lapsed attempt that claims again is told the same attempt, if nobody took over', async (subject) => {
    await subject.claim({ policy: policyOf({ interrupted: holding('lapsed') }) })
    subject.pass(leaseMs + afterMs)
    assertFound(await subject.claim(), claimed(1))
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs })
  }),
  safety('the owner of an attempt that was taken over is busy when it claims again', async (subject) => {
    await subject.claim()
    subject.pass(leaseMs + afterMs)
    assertFound(await subject.claim({ owner: 'owner-2' }), claimed(2))
    assertFound(await subject.claim(), { state: 'busy', leaseMs })
  }),
  safety(
    'the generation is the owner of the first attempt: alike for each attempt, and another for the next record',
    async (subject) => {
      assert.equal(await generation(subject, 'owner-1'), 'owner-1')
      assert.equal(await generation(subject, 'owner-1'), 'owner-1', 'asked for again')
      for (const attempt of [2, 3]) {
        subject.pass(leaseMs + afterMs)
        assert.equal(await generation(subject, `owner-${attempt}`), 'owner-1')
        assert.equal((await subject.view())?.record.generation, 'owner-1')
      }
      await subject.settled(release('owner-3'))
      assert.equal(await generation(subject, 'owner-4'), 'owner-1', 'a release gives back what it found')
      await subject.settled(complete(fence(3, 'owner-4')))
      subject.pass(ttlMs + rememberMs + afterMs)
      assert.equal(await generation(subject, 'owner-5'), 'owner-5')
      subject.pass(leaseMs + ttlMs + afterMs)
      assert.equal(await generation(subject, 'owner-6'), 'owner-6')
    },
  ),
  safety('an operation does not expire while its lease is live, however short its ttl', async (subject) => {
    await subject.claim({ leaseMs: 10 * leaseMs, policy: policyOf({ ttlMs: leaseMs }) })
    subject.pass(9 * leaseMs)
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'busy', leaseMs })
  }),
]

const interrupted: readonly ContractCase[] = [
  ...causes.map((cause) =>
    safety(`an operation interrupted as ${cause} is claimed as the next attempt, with the steps kept so far`, async (subject) => {
      await subject.claim()
      await subject.settled(step(fence(), stepOf('one')), step(fence(), stepOf('two')))
      await endedBy(subject, cause)
      assertFound(await subject.claim(otherInput), mismatch)
      assertFound(await subject.claim({ owner: 'owner-2' }), claimed(2, 'one', 'two'))
      assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'busy', leaseMs })
    }),
  ),
  safety('an operation interrupted as uncertain is held whatever the policy, and never expires', async (subject) => {
    await subject.claim()
    await subject.settled(step(fence(), stepOf('intent')), interrupt(fence(), 'uncertain'))
    const held: Expected = { state: 'held', attempt: 1, cause: 'uncertain' }
    assertFound(await subject.claim({ owner: 'owner-2' }), held)
    subject.pass(10 * (leaseMs + ttlMs + rememberMs))
    await subject.store.sweep(10)
    assertFound(await subject.claim({ owner: 'owner-3' }), held)
    assert.deepEqual(
      (await subject.view())?.record.steps.map(({ name }) => name),
      ['intent'],
    )
  }),
  ...causes.map((cause) =>
    safety(`an operation whose policy holds what is ${cause} is then held, and never expires`, async (subject) => {
      await subject.claim({ policy: policyOf({ interrupted: holding(cause) }) })
      await endedBy(subject, cause)
      const held: Expected = { state: 'held', attempt: 1, cause }
      assertFound(await subject.claim({ owner: 'owner-2' }), held)
      assertFound(await subject.claim(otherInput), mismatch)
      subject.pass(10 * (leaseMs + ttlMs + rememberMs))
      assertFound(await subject.claim({ owner: 'owner-3' }), held)
    }),
  ),
  ...causes.map((cause) =>
    safety(`an operation whose attemptsMax is reached is held after it is ${cause}, and not before`, async (subject) => {
      const policy = policyOf({ attemptsMax: 2 })
      await subject.claim({ policy })
      await endedBy(subject, cause)
      assertFound(await subject.claim({ owner: 'owner-2' }), claimed(2))
      if (cause === 'lapsed') subject.pass(leaseMs + afterMs)
      else await subject.settled(interrupt(fence(2), cause))
      assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'held', attempt: 2, cause })
    }),
  ),
  ...causes.map((cause) =>
    safety(
      `a claim by the owner of an attempt that was ${cause} never starts the next one: it is a copy that came late`,
      async (subject) => {
        await subject.claim()
        await endedBy(subject, cause)
        // Without an interruption nobody but the owner knows that its attempt is over.
        assertFound(await subject.claim(), cause === 'lapsed' ? claimed(1) : { state: 'busy', leaseMs: 0 })
        assert.equal((await subject.view())?.record.attempt, 1)
      },
    ),
  ),
  safety('a policy that holds one cause retries the others', async (subject) => {
    await subject.claim({ policy: policyOf({ interrupted: holding('thrown') }) })
    await subject.settled(interrupt(fence(), 'answered'))
    assertFound(await subject.claim({ owner: 'owner-2' }), claimed(2))
    subject.pass(leaseMs + afterMs)
    assertFound(await subject.claim({ owner: 'owner-3' }), claimed(3))
    await subject.settled(interrupt(fence(3), 'thrown'))
    assertFound(await subject.claim({ owner: 'owner-4' }), { state: 'held', attempt: 3, cause: 'thrown' })
  }),
  safety('the policy of an operation is that of its first claim', async (subject) => {
    await subject.claim({ policy: policyOf({ attemptsMax: 2 }) })
    await subject.settled(interrupt())
    await subject.claim({ owner: 'owner-2', policy: policyOf({ attemptsMax: 9, ttlMs: 1 }) })
    await subject.settled(interrupt(fence(2)))
    assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'held', attempt: 2, cause: 'thrown' })
  }),
  safety('the next attempt of an interrupted operation has a lease of its own, and lapses with it', async (subject) => {
    await subject.claim()
    await subject.settled(interrupt())
    await subject.claim({ owner: 'owner-2', leaseMs: 3 * leaseMs })
    subject.pass(2 * leaseMs)
    assertFound(await subject.claim({ owner: 'owner-3' }), { state: 'busy', leaseMs })
    subject.pass(leaseMs + afterMs)
    assertFound(await subject.claim({ owner: 'owner-3' }), claimed(3))
  }),
  safety('an operation released by a later attempt is claimed as that attempt again', async (subject) => {
    await subject.claim()
    await subject.settled(step(), interrupt())
    await subject.claim({ owner: 'owner-2' })
    await subject.settled(release('owner-2'))
    assertFound(await subject.claim(otherInput), mismatch)
    assertFound(await subject.claim({ owner: 'owner-3' }), claimed(2, 'step'))
  }),
]

const completed: readonly ContractCase[] = [
  safety('a claim of a completed operation is told its outcome for the ttl, whoever asks', async (subject) => {
    await subject.claim()
    subject.pass(leaseMs - marginMs)
    await subject.settled(complete())
    const found: Expected = { state: 'completed', outcome: outcomeOf('outcome') }
    for (const owner of ['owner-1', 'owner-2']) assertFound(await subject.claim({ owner }), found)
    subject.pass(ttlMs - marginMs)
    assertFound(await subject.claim({ owner: 'owner-2' }), found)
  }),
  safety('a claim of a completed operation with another fingerprint is a mismatch', async (subject) => {
    await subject.claim()
    await subject.settled(complete())
    assertFound(await subject.claim(otherInput), mismatch)
    assertFound(await subject.claim({ ...otherInput, owner: 'owner-1' }), mismatch)
  }),
  safety('an outcome that could not be kept is told as such', async (subject) => {
    const outcome = { kept: false, meta: 'too large', body: new Uint8Array(0) }
    await subject.claim()
    await subject.settled({ kind: 'complete', ...fence(), outcome })
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'completed', outcome })
  }),
  safety('a remembered operation is expired from its ttl on, swept or not; a mismatch with another input', async (subject) => {
    await subject.claim({ policy: policyOf({ rememberMs }) })
    await subject.settled(complete())
    subject.pass(ttlMs + afterMs)
    for (const swept of [false, true]) {
      if (swept) await subject.store.sweep(100)
      assertFound(await subject.claim({ owner: 'owner-1' }), { state: 'expired' })
      assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'expired' })
      assertFound(await subject.claim(otherInput), mismatch)
    }
    subject.pass(rememberMs - marginMs)
    assertFound(await subject.claim({ owner: 'owner-2' }), { state: 'expired' })
  }),
  safety('a remembered operation is claimed as attempt 1 with any input once it is forgotten', async (subject) => {
    await subject.claim({ policy: policyOf({ rememberMs }) })
    await subject.settled(complete())
    subject.pass(ttlMs + rememberMs + afterMs)
    assertFound(await subject.claim(otherInput), claimed(1))
  }),
]

/** The table of what a claim finds, row by row. */
export const claimCases: readonly ContractCase[] = [...absent, ...running, ...interrupted, ...completed]
