import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refusal, type Attempt, type StepOptions } from 'onceward'
import {
  assertNoUnhandledRejections,
  charge,
  faultyMemory,
  inMemory,
  inVirtualTime,
  virtualMemory,
  type Subject,
} from './support.ts'
import { VirtualTime } from './virtual-time.ts'

assertNoUnhandledRejections()

const never = (): never => assert.fail('it ran')
const resolution = { actor: 'ada', reason: 'found out' }
const refused = { state: 'refused', replayed: false } as const

/** The attempt ends here, at the first time of asking. */
function failOnce(): () => void {
  let failed = false
  return () => {
    if (failed) return
    failed = true
    throw new Error('cut short')
  }
}

/** Two instances with a way of their own to one store. */
function pair(time: VirtualTime): [Subject, Subject] {
  const shared = virtualMemory(time)
  const subject = (): Subject => inVirtualTime(time, { lease: 1_000, store: faultyMemory(time, shared) })
  return [subject(), subject()]
}

/** An attempt that begins a step and is never heard of again: its process died inside. */
async function diesInside(time: VirtualTime, { once, store }: Subject, options: StepOptions<string> = {}): Promise<void> {
  const begun = Promise.withResolvers<void>()
  const work = async (): Promise<string> => {
    begun.resolve()
    return new Promise<never>(() => {})
  }
  void once.try(charge, (attempt) => attempt.step('sms', work, options))
  await time.until(begun.promise)
  store.break('hang')
  await time.pass(1_500)
}

describe('a step', () => {
  test('that was done is not done again by the next attempt, which gets what it came to', async () => {
    const once = inMemory()
    let paid = 0
    const cutShort = failOnce()
    const work = async (attempt: Attempt): Promise<unknown> => {
      const id = await attempt.step('charge', () => `ch_${(paid += 1)}`)
      cutShort()
      return { id, attempt: attempt.number }
    }
    await assert.rejects(once.run(charge, work), { message: 'cut short' })
    assert.deepEqual(await once.run(charge, work), { id: 'ch_1', attempt: 2 })
    assert.equal(paid, 1)
  })

  test('gives the attempt that does it what the next one would get: what was recorded', async () => {
    const value = await inMemory().run(charge, async (attempt) => [
      await attempt.step('date', () => new Date(0)),
      await attempt.step('bytes', () => new Uint8Array([0, 255])),
      await attempt.step('nothing', () => {}),
    ])
    assert.deepEqual(value, ['1970-01-01T00:00:00.000Z', { 0: 0, 1: 255 }, null])
  })

  test('has a key that is the same for every attempt and another for every step, operation and use of the key', async () => {
    const time = new VirtualTime()
    const { once } = inVirtualTime(time)
    const keys = async (operation: typeof charge | { scope: string; name: string; key: string }): Promise<string[]> => {
      const found: string[] = []
      const work = async (attempt: Attempt): Promise<void> => {
        for (const name of ['one', 'two']) await attempt.step(name, ({ key }) => found.push(key)).catch(() => {})
        for (const name of ['three', 'four']) await attempt.step(name, ({ key }) => Promise.reject(new Error(key))).catch(note)
        throw new Error('cut short')
      }
      const note = (error: Error): void => void found.push(error.message)
      await time.until(once.try({ ...operation, ttl: 100 }, work).catch(() => {}))
      return found
    }
    const first = await keys(charge)
    assert.match(String(first[0]), /^[0-9a-f]{64}$/)
    assert.deepEqual(await keys(charge), first.slice(2), 'the next attempt does what was not recorded, under the same keys')
    const other = await keys({ ...charge, key: 'k-2' })
    await time.pass(200)
    const anew = await keys(charge)
    assert.equal(new Set([...first, ...other, ...anew]).size, 12)
  })

  test('whose process died inside is done once more, under the same key', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const keys: string[] = []
    const begun = Promise.withResolvers<void>()
    void first.once.try(charge, (attempt) =>
      attempt.step('charge', ({ key }) => {
        keys.push(key)
        begun.resolve()
        return new Promise<never>(() => {})
      }),
    )
    await time.until(begun.promise)
    first.store.break('hang')
    await time.pass(1_500)
    const value = await time.until(second.once.run(charge, (attempt) => attempt.step('charge', ({ key }) => keys.push(key))))
    assert.equal(value, 2)
    assert.equal(keys[0], keys[1])
  })

  test('that was refused is recorded as that: no attempt tries it again', async () => {
    const once = inMemory()
    const cutShort = failOnce()
    const declined = (): never => {
      throw refusal(402, 'card declined', { code: 7n }) // details that cannot be kept go, the refusal does not
    }
    const work = async (attempt: Attempt): Promise<string> => {
      const step = attempt.number === 1 ? declined : never
      const error = await attempt.step('charge', step).catch((caught: unknown) => caught)
      cutShort()
      assert.ok(error instanceof Error)
      return error.message
    }
    await assert.rejects(once.run(charge, work), { message: 'cut short' })
    assert.equal(await once.run(charge, work), 'card declined')
  })

  test('of an attempt that was taken over is not recorded, and the caller gets the answer of the owner', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    const begun = Promise.withResolvers<void>()
    const paid = Promise.withResolvers<string>()
    let caught: unknown
    const late = first.once.try(charge, async (attempt) => {
      const pay = (): Promise<string> => {
        begun.resolve()
        return paid.promise
      }
      await attempt.step('charge', pay).catch((error: unknown) => {
        caught = error
        throw error
      })
      return 'late'
    })
    await time.until(begun.promise)
    first.store.break('loseRequest')
    await time.pass(1_500)
    assert.equal(await time.until(second.once.run(charge, () => "the owner's")), "the owner's")
    first.store.mend()
    paid.resolve('ch_1')
    assert.deepEqual(await time.until(late), { state: 'completed', value: "the owner's", replayed: true })
    assert.equal((caught as { code?: string }).code, 'lease_lost')
  })

  test('whose record gets no answer ends the attempt, and says that it may be recorded', async () => {
    const time = new VirtualTime()
    const { once, store, events } = inVirtualTime(time)
    const result = once.try(charge, async (attempt) => {
      store.break('loseReply', 'settle')
      return attempt.step('charge', () => 'ch_1')
    })
    await assert.rejects(time.until(result), {
      code: 'store_unavailable',
      message: /'step:charge' may not be recorded.*the attempt ends here/,
    })
    assert.deepEqual(
      events.filter(({ type }) => type === 'released'),
      [],
      'the claim was not given back: its handler ran',
    )
    store.mend()
    await time.pass(2_000)
    assert.equal(await time.until(once.run(charge, (attempt) => attempt.step('charge', never))), 'ch_1')
  })

  test('renews the lease', async () => {
    const time = new VirtualTime()
    const { once, store } = inVirtualTime(time, { lease: 1_000 })
    store.break('hang', 'renew')
    let lost = false
    const value = await time.until(
      once.run(charge, async (attempt) => {
        attempt.signal.addEventListener('abort', () => (lost = true))
        for (const name of ['a', 'b', 'c', 'd'])
          await attempt.step(name, () => new Promise<void>((resolve) => void time.timer(600, resolve)))
        return 'done'
      }),
    )
    assert.deepEqual([value, lost], ['done', false])
  })
})

describe('a step that must not be done twice', () => {
  const options = { uncertain: 'hold' } as const

  test('whose process died inside is held by the next attempt, until somebody resolves it', async () => {
    const time = new VirtualTime()
    const [first, second] = pair(time)
    await diesInside(time, first, options)
    const held = { state: 'held', attempt: 2, cause: 'uncertain' }
    const work = (attempt: Attempt): Promise<string> => attempt.step('sms', never, options)
    assert.deepEqual(await time.until(second.once.try(charge, work)), held)
    assert.deepEqual(await time.until(second.once.try(charge, never)), held)
    assert.equal(await time.until(second.once.resolve(charge, { outcome: 'sent' }, resolution)), true)
    assert.equal(await time.until(second.once.run(charge, never)), 'sent')
  })

  test('is held also where the next attempt swallows that, or does not ask for it to hold any more', async () => {
    for (const again of [options, {}]) {
      const time = new VirtualTime()
      const [first, second] = pair(time)
      await diesInside(time, first, options)
      const result = second.once.try(charge, (attempt) => attempt.step('sms', never, again).catch(() => 'never mind'))
      assert.deepEqual(await time.until(result), { state: 'held', attempt: 2, cause: 'uncertain' })
    }
  })

  test('and fails is held at once, whatever the policy: its caller gets the error', async () => {
    const once = inMemory()
    const timedOut = (): never => {
      throw new Error('no answer from the provider')
    }
    await assert.rejects(
      once.run(charge, (attempt) => attempt.step('sms', timedOut, options)),
      { message: 'no answer from the provider' },
    )
    assert.deepEqual(await once.try(charge, never), { state: 'held', attempt: 1, cause: 'uncertain' })
  })

  test('and is refused did not take effect: the refusal is the outcome', async () => {
    const once = inMemory()
    const declined = (): never => {
      throw refusal(422, 'no such number')
    }
    const result = await once.try(charge, (attempt) => attempt.step('sms', declined, options))
    assert.equal(result.state, 'refused')
  })

  test('and was done is not done again', async () => {
    const once = inMemory()
    const cutShort = failOnce()
    let sent = 0
    const work = async (attempt: Attempt): Promise<number> => {
      const count = await attempt.step('sms', () => (sent += 1), options)
      cutShort()
      return count
    }
    await assert.rejects(once.run(charge, work), { message: 'cut short' })
    assert.equal(await once.run(charge, work), 1)
  })
})

describe('an operation that is refused', () => {
  /** Three steps that can be undone, and what was done and undone, in order. */
  function booking(end: (attempt: Attempt) => unknown): { work: (attempt: Attempt) => Promise<unknown>; done: string[] } {
    const done: string[] = []
    const work = async (attempt: Attempt): Promise<unknown> => {
      for (const name of ['row', 'charge', 'seat'])
        await attempt.step(name, () => void done.push(name), { undo: () => void done.push(`undo ${name}`) })
      return end(attempt)
    }
    return { work, done }
  }

  test('undoes its steps, the last first', async () => {
    const once = inMemory()
    const { work, done } = booking(() => {
      throw refusal(409, 'no driver')
    })
    const result = await once.try(charge, work)
    assert.deepEqual({ state: result.state, replayed: 'replayed' in result && result.replayed }, refused)
    assert.deepEqual(done, ['row', 'charge', 'seat', 'undo seat', 'undo charge', 'undo row'])
    assert.equal((await once.try(charge, never)).state, 'refused')
  })

  test('gives the undoing the value of the step, and a key of its own', async () => {
    const found: unknown[] = []
    const undo = (value: string, { key }: { key: string }): void => void found.push(value, key)
    await inMemory().try(charge, async (attempt) => {
      await attempt.step('charge', ({ key }) => (found.push(key), 'ch_1'), { undo })
      throw refusal(409, 'no driver')
    })
    const [key, value, undoKey] = found
    assert.equal(value, 'ch_1')
    assert.match(String(undoKey), /^[0-9a-f]{64}$/)
    assert.notEqual(undoKey, key)
  })

  test('goes on undoing where an earlier attempt was cut short, and does nothing new', async () => {
    const once = inMemory()
    const done: string[] = []
    const cutShort = failOnce()
    const work = async (attempt: Attempt): Promise<unknown> => {
      await attempt.step('row', () => void done.push('row'), {
        undo: () => {
          cutShort()
          done.push('undo row')
        },
      })
      await attempt.step('charge', () => void done.push('charge'), { undo: () => void done.push('undo charge') })
      if (attempt.number === 1) throw refusal(409, 'no driver')
      return attempt.step('driver', never)
    }
    await assert.rejects(once.run(charge, work), { message: 'cut short' })
    assert.equal((await once.peek(charge)).state, 'interrupted')
    const result = await once.try(charge, work)
    assert.equal(result.state === 'refused' && result.refusal.message, 'no driver')
    assert.deepEqual(done, ['row', 'charge', 'undo charge', 'undo row'])
  })

  test('undoes nothing on doubt: when the handler throws anything else, or a step is uncertain', async () => {
    const once = inMemory()
    const thrown = booking(() => {
      throw new Error('timeout')
    })
    await assert.rejects(once.run(charge, thrown.work), { message: 'timeout' })
    assert.deepEqual(thrown.done, ['row', 'charge', 'seat'])
    const unsure = booking(async (attempt) => {
      await attempt.step('sms', () => Promise.reject(new Error('timeout')), { uncertain: 'hold' }).catch(() => {})
      throw refusal(409, 'no driver')
    })
    const other = { ...charge, key: 'k-2' }
    assert.deepEqual(await once.try(other, unsure.work), { state: 'held', attempt: 1, cause: 'uncertain' })
    assert.deepEqual(unsure.done, ['row', 'charge', 'seat'])
  })

  test('waits for the steps that are still on their way, and undoes them too', async () => {
    const done: string[] = []
    const slow = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      done.push('slow')
    }
    await inMemory().try(charge, async (attempt) => {
      const step = attempt.step('slow', slow, { undo: () => void done.push('undo slow') })
      await Promise.all([
        step,
        attempt.step('fast', () => {
          throw refusal(409, 'no')
        }),
      ])
    })
    assert.deepEqual(done, ['slow', 'undo slow'])
  })
})

describe('a step with bad input', () => {
  const wrong: Readonly<Record<string, [(attempt: Attempt) => Promise<unknown>, RegExp]>> = {
    'an empty name': [(attempt) => attempt.step('', never), /name is 1 to 255 characters.*not "".*was not done/],
    'a name too long': [(attempt) => attempt.step('x'.repeat(256), never), /name is 1 to 255 characters/],
    'a name with a lone surrogate': [(attempt) => attempt.step('\ud800', never), /well-formed/],
    'a name that is no string': [(attempt) => attempt.step(7 as never, never), /not number/],
    'a name asked for twice': [
      async (attempt) => {
        await attempt.step('a', () => 1)
        return attempt.step('a', never)
      },
      /'a' was asked for twice in one attempt; it was not done again: give each step a name of its own/,
    ],
    'more steps than there may be': [
      async (attempt) => {
        for (let index = 0; index < 100; index += 1) await attempt.step(`step ${index}`, () => index)
        return attempt.step('one more', never)
      },
      /has 100 steps; 'one more' was not done/,
    ],
    'a result that cannot be serialised': [
      (attempt) => attempt.step('a', () => 7n),
      /'a' cannot be serialised; the step took effect/,
    ],
    'a result that is too large': [
      (attempt) => attempt.step('a', () => 'x'.repeat(65_536)),
      /takes 655\d\d bytes, at most 65536 are kept; the step took effect/,
    ],
  }
  for (const [what, [work, message]] of Object.entries(wrong))
    test(`is told so: ${what}`, async () => {
      await assert.rejects(inMemory().run(charge, work), { code: 'input_invalid', message })
    })

  test('of 100 steps and 255 characters is within the limits', async () => {
    const name = (index: number): string => `${index}`.padStart(255, '-')
    const value = await inMemory().run(charge, async (attempt) => {
      const steps = Array.from({ length: 100 }, (_, index) => attempt.step(name(index), () => index))
      return (await Promise.all(steps)).length
    })
    assert.equal(value, 100)
  })

  test('after the handler has ended is told that it was not done', async () => {
    const kept: Attempt[] = []
    await inMemory().run(charge, (attempt) => kept.push(attempt))
    await assert.rejects(Promise.resolve(kept[0]?.step('late', never)), { code: 'attempt_ended', message: /'late' was not done/ })
  })
})

test('a store that is away for something else the handler runs is not taken for the own one', async () => {
  const time = new VirtualTime()
  const outer = inVirtualTime(time)
  const inner = inVirtualTime(time)
  inner.store.break('loseRequest')
  const result = outer.once.try(charge, () => inner.once.run(charge, never))
  await assert.rejects(time.until(result), { code: 'store_unavailable' })
  const told = outer.events.map(({ type }) => type).filter((type) => type !== 'opened')
  assert.deepEqual(told, ['claimed', 'interrupted'])
})
