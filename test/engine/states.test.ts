import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HeldError, type InterruptionCause, type Once } from 'onceward'
import { assertNoUnhandledRejections, charge, inVirtualTime } from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')

/** Ends the first attempt of `charge` without an outcome, in one of the three ways. */
async function interrupt(time: VirtualTime, once: Once, cause: InterruptionCause): Promise<void> {
  const fail = (): never => {
    throw new Error('reader on fire')
  }
  if (cause === 'thrown') await assert.rejects(time.until(once.run(charge, fail)))
  if (cause === 'answered') await time.until(once.execute(asked, async () => ({ state: 'interrupt' })))
  if (cause === 'lapsed') {
    await assert.rejects(time.until(once.run(charge, () => new Promise(() => {}))), { code: 'attempt_timeout' })
    await time.pass(2_000)
  }
}

const noInput = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const asked = { ...charge, fingerprint: noInput }

describe('mismatch', () => {
  test('the key with another input is a mismatch; nothing runs, and the first operation stays as it was', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    assert.equal(await time.until(once.run({ ...charge, input: { amount: 1 } }, () => 'first')), 'first')
    await assert.rejects(time.until(once.run({ ...charge, input: { amount: 2 } }, never)), { name: 'MismatchError' })
    await assert.rejects(time.until(once.run(charge, never)), { name: 'MismatchError' })
    assert.equal(await time.until(once.run({ ...charge, input: { amount: 1 } }, never)), 'first')
  })

  test('the same input written otherwise is the same input', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    await time.until(once.run({ ...charge, input: { a: 1, b: [2, null], c: undefined } }, () => 'first'))
    assert.equal(await time.until(once.run({ ...charge, input: { b: [2, null], a: 1 } }, never)), 'first')
  })

  test('no input is not the same as null, false, zero or nothing in quotes', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    await time.until(once.run(charge, () => 'first'))
    for (const input of [null, false, 0, '', [], {}])
      assert.deepEqual(await time.until(once.try({ ...charge, input }, never)), { state: 'mismatch' })
    assert.equal(await time.until(once.run({ ...charge, input: undefined }, never)), 'first')
  })

  test('an interrupted operation keeps its input: another one is a mismatch', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    await interrupt(time, once, 'thrown')
    assert.deepEqual(await time.until(once.try({ ...charge, input: 1 }, never)), { state: 'mismatch' })
    assert.equal(await time.until(once.run(charge, ({ number }) => number)), 2)
  })

  test('a held operation is a mismatch for another input', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { interrupted: 'hold' })
    await interrupt(time, once, 'thrown')
    assert.deepEqual(await time.until(once.try({ ...charge, input: 1 }, never)), { state: 'mismatch' })
  })
})

describe('held', () => {
  const all: readonly InterruptionCause[] = ['answered', 'thrown', 'lapsed']
  for (const cause of all) {
    const rules = Object.fromEntries(all.map((each) => [each, each === cause ? 'hold' : 'retry'] as const))

    test(`with 'hold' for it, an attempt that ${cause} is held: nobody runs, and the error says which attempt and how`, async () => {
      const time = new VirtualTime()
      const { once } = inVirtualTime(time, { interrupted: rules, lease: 1_000, attemptTimeout: 5_000 })
      await interrupt(time, once, cause)
      await assert.rejects(
        time.until(once.run(charge, never)),
        (error: unknown) => error instanceof HeldError && error.attempt === 1 && error.interruption === cause,
      )
      assert.deepEqual(await time.until(once.try(charge, never)), { state: 'held', attempt: 1, cause })
    })

    test(`with 'retry' for it alone, an attempt that ${cause} is run again`, async () => {
      const time = new VirtualTime()
      const others = Object.fromEntries(all.map((each) => [each, each === cause ? 'retry' : 'hold'] as const))
      const { once } = inVirtualTime(time, { interrupted: others, lease: 1_000, attemptTimeout: 5_000 })
      await interrupt(time, once, cause)
      assert.equal(await time.until(once.run(charge, ({ number }) => number)), 2)
    })
  }

  test("one word sets the rule for every cause, and a call's rule stands over the instance's", async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { interrupted: 'hold' })
    const fail = (): never => {
      throw new Error('no')
    }
    await assert.rejects(time.until(once.run({ ...charge, interrupted: { thrown: 'retry' } }, fail)), { message: 'no' })
    assert.equal(await time.until(once.run(charge, ({ number }) => number)), 2)
  })

  test('a held operation stays held, however long it takes', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { interrupted: 'hold', ttl: '1h' })
    await interrupt(time, once, 'thrown')
    await time.jump(10 * 86_400_000)
    assert.equal((await time.until(once.try(charge, never))).state, 'held')
  })
})

describe('attemptsMax', () => {
  test('an operation is held once that many attempts were interrupted', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { attemptsMax: 3 })
    const numbers: number[] = []
    for (let call = 1; call <= 3; call += 1)
      await assert.rejects(
        time.until(
          once.run(charge, ({ number }) => {
            numbers.push(number)
            throw new Error(`no ${number}`)
          }),
        ),
        { message: `no ${call}` },
      )
    assert.deepEqual(numbers, [1, 2, 3])
    assert.deepEqual(await time.until(once.try(charge, never)), { state: 'held', attempt: 3, cause: 'thrown' })
  })

  test('the last attempt allowed may still complete', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { attemptsMax: 2 })
    await interrupt(time, once, 'thrown')
    assert.equal(await time.until(once.run(charge, ({ number }) => number)), 2)
    assert.equal(await time.until(once.run(charge, never)), 2)
  })

  test('one attempt only means that any interruption holds', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { attemptsMax: 1 })
    await interrupt(time, once, 'answered')
    assert.deepEqual(await time.until(once.try(charge, never)), { state: 'held', attempt: 1, cause: 'answered' })
  })
})

describe('ttl', () => {
  test('after its ttl an operation runs anew, with any input; before it, it replays', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1h' })
    await time.until(once.run({ ...charge, input: 1 }, () => 'first'))
    await time.jump(3_600_000 - 1)
    assert.equal(await time.until(once.run({ ...charge, input: 1 }, never)), 'first')
    await time.pass(1)
    assert.equal(await time.until(once.run({ ...charge, input: 2 }, ({ number }) => `second ${number}`)), 'second 1')
  })

  test('it is counted from completion', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1h', lease: '1m' })
    await time.until(once.run(charge, () => new Promise<string>((resolve) => time.timer(500_000, () => resolve('first')))))
    await time.jump(3_599_000)
    assert.equal(await time.until(once.run(charge, never)), 'first')
  })

  test('a replay does not lengthen it', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1h' })
    await time.until(once.run(charge, () => 'first'))
    await time.jump(3_000_000)
    await time.until(once.run(charge, never))
    await time.jump(600_000)
    assert.equal(await time.until(once.run(charge, () => 'second')), 'second')
  })

  test('it never ends a running operation', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1s' })
    const slow = once.run(charge, () => new Promise<string>((resolve) => time.timer(60_000, () => resolve('slow'))))
    await time.pass(50_000)
    assert.deepEqual(await time.until(once.try({ ...charge, wait: 0 }, never)).then(({ state }) => state), 'busy')
    assert.equal(await time.until(slow), 'slow')
  })

  test('a call may have its own', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1h' })
    await time.until(once.run({ ...charge, ttl: '2h' }, () => 'first'))
    await time.jump(7_200_000 - 1)
    assert.equal(await time.until(once.run(charge, never)), 'first')
    await time.pass(1)
    assert.equal(await time.until(once.run(charge, () => 'second')), 'second')
  })

  test('an interrupted operation is forgotten a ttl after it was interrupted', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1h' })
    await interrupt(time, once, 'thrown')
    await time.jump(3_600_000)
    assert.equal(await time.until(once.run(charge, ({ number }) => number)), 1)
  })
})

describe('remember', () => {
  test('after its ttl a remembered operation is expired for a repeat, and runs anew when that is over too', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1h', remember: '1h' })
    await time.until(once.run(charge, () => 'first'))
    await time.jump(3_600_000)
    await assert.rejects(time.until(once.run(charge, never)), { name: 'ExpiredError', code: 'expired' })
    await time.jump(3_600_000 - 1)
    assert.deepEqual(await time.until(once.try(charge, never)), { state: 'expired' })
    assert.deepEqual(await time.until(once.try({ ...charge, input: 1 }, never)), { state: 'mismatch' })
    await time.pass(1)
    assert.equal(await time.until(once.run(charge, () => 'second')), 'second')
  })

  test('calls at once on a remembered operation are all told that it has expired', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { ttl: '1h', remember: '1h' })
    await time.until(once.run(charge, () => 'first'))
    await time.jump(3_600_000)
    const results = await time.until(Promise.all([once.try(charge, never), once.try(charge, never)]))
    assert.deepEqual(results, [{ state: 'expired' }, { state: 'expired' }])
  })
})

describe("an operation's policy is that of its first claim", () => {
  test('a later call with another ttl changes nothing', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    await time.until(once.run({ ...charge, ttl: '1h' }, () => 'first'))
    await time.until(once.run({ ...charge, ttl: '9h' }, never))
    await time.jump(3_600_000)
    assert.equal(await time.until(once.run(charge, () => 'second')), 'second')
  })

  test('a later call with another rule for interruptions, or other attempts, changes nothing', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time, { attemptsMax: 2 })
    await interrupt(time, once, 'thrown')
    const fail = (): never => {
      throw new Error('again')
    }
    const generous = { ...charge, attemptsMax: 100, interrupted: 'retry' } as const
    await assert.rejects(time.until(once.run(generous, fail)), { message: 'again' })
    assert.deepEqual(await time.until(once.try(generous, never)), { state: 'held', attempt: 2, cause: 'thrown' })
  })
})
