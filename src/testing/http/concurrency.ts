import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, isReplay, type Answered } from './ask.ts'
import { courtesy, safety, type Behaviour } from './behaviour.ts'
import type { Subject } from './subject.ts'

/** Behaviours 22 and 24 to 27: many at once. */
export const concurrencyBehaviours: readonly Behaviour[] = [
  safety('of 100 identical requests at once one runs, and all have its answer', ['--wait-ms', '60000'], async (subject) => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => subject.ask({ path: '/slow?ms=50', key: 'k1' })))
    assert.deepEqual([...new Set(answers.map(({ status, text }) => `${status} ${text}`))], ['200 slept:50 effect:1'])
    assert.equal(answers.filter((answer) => !isReplay(answer)).length, 1)
    assert.equal(await subject.effects(), 1)
  }),

  safety('without waiting a duplicate is told to ask again', ['--wait-ms', '0'], async (subject) => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => subject.ask({ path: '/slow?ms=500', key: 'k1' })))
    const [done, busy] = [answers.filter(({ status }) => status === 200), answers.filter(({ status }) => status === 409)]
    assert.equal(done.length + busy.length, 100)
    assert.ok(busy.length > 0)
    for (const answer of busy) {
      assert.equal(codeOf(answer), 'idempotency_in_progress')
      assert.ok(Number(answer.headers['retry-after']) >= 1)
    }
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('Prefer: wait shortens the wait, and unknown preferences are ignored', [], async (subject) => {
    const running = subject.ask({ path: '/slow?ms=2200', key: 'k1' })
    await sleep(100)
    const asked = performance.now()
    const busy = await subject.ask({ path: '/slow?ms=2200', key: 'k1', headers: { prefer: 'respond-async, wait=1, x=2' } })
    assert.equal(codeOf(busy), 'idempotency_in_progress')
    assert.ok(performance.now() - asked >= 900)
    const unknown = await subject.ask({ path: '/slow?ms=2200', key: 'k1', headers: { prefer: 'respond-async' } })
    assert.ok(isReplay(unknown))
    assert.equal((await running).status, 200)
    assert.equal(await subject.effects(), 1)
  }),

  courtesy('Prefer: wait does not lengthen the wait', ['--wait-ms', '0'], async (subject) => {
    const running = subject.ask({ path: '/slow?ms=600', key: 'k1' })
    await sleep(100)
    const busy = await subject.ask({ path: '/slow?ms=600', key: 'k1', headers: { prefer: 'wait=30' } })
    assert.equal(codeOf(busy), 'idempotency_in_progress')
    await running
  }),

  courtesy(
    "beyond the waiters' limit a duplicate is refused at once, and other routes answer",
    ['--waiters-max', '2'],
    async (subject) => {
      const question = { path: '/slow?ms=800', key: 'k1' }
      const running = subject.ask(question)
      await sleep(100)
      const waiting = [subject.ask(question), subject.ask(question)]
      await sleep(100)
      assert.equal(codeOf(await subject.ask(question)), 'idempotency_in_progress')
      assert.equal((await subject.ask({ key: 'k2', body: '1' })).status, 201)
      assert.deepEqual(
        (await Promise.all([running, ...waiting])).map(({ text }) => text),
        Array.from({ length: 3 }, () => 'slept:800 effect:2'),
      )
    },
  ),

  safety('a handler slower than the lease keeps it, and runs once', ['--lease-ms', '300'], async (subject) => {
    const question = { path: '/slow?ms=1200', key: 'k1' }
    const [first, second] = await Promise.all([subject.ask(question), subject.ask(question)])
    assert.equal(first.text, second.text)
    assert.equal(await subject.effects(), 1)
  }),

  courtesy(
    '1,000 wait and have the answer, one more is refused, and other routes answer meanwhile',
    ['--waiters-max', '1000', '--wait-ms', '60000'],
    async (subject) => {
      const question = { path: '/slow?ms=6000', key: 'k1' }
      const running = subject.ask(question)
      await sleep(100)
      const answers: Answered[] = []
      const asked = Array.from({ length: 1_005 }, async () => answers.push(await subject.ask(question)))
      while (answers.length < 5) await sleep(20)
      assert.equal((await subject.ask({ key: 'k2', body: '1' })).status, 201)
      assert.equal((await subject.ask({ method: 'GET', path: '/counter' })).status, 200)
      assert.deepEqual(
        answers.map(codeOf),
        Array.from({ length: 5 }, () => 'idempotency_in_progress'),
      )
      await Promise.all(asked)
      const texts = new Set(answers.slice(5).map(({ text }) => text))
      assert.deepEqual([...texts], [(await running).text])
      assert.equal(await subject.effects(), 2)
    },
  ),

  courtesy('a waiter is answered within 50 ms of the completion', ['--wait-ms', '60000'], async (subject) => {
    const medians: number[] = []
    // The median, and again where the machine was busy with something else: polling every 100 ms would not pass.
    for (let round = 0; round < 3 && (medians.at(-1) ?? Infinity) > 50; round += 1)
      medians.push(await medianLagMs(subject, round))
    assert.ok((medians.at(-1) ?? Infinity) <= 50, `medians of ${medians.join(', ')} ms`)
  }),
]

/** How much later than the answer of the one that ran a waiter has its own, in the middle of nine times. */
async function medianLagMs(subject: Subject, round: number): Promise<number> {
  const lags: number[] = []
  for (let time = 0; time < 9; time += 1) lags.push(await lagMs(subject, `k${round}-${time}`))
  return lags.toSorted((a, b) => a - b)[4] ?? Infinity
}

async function lagMs(subject: Subject, key: string): Promise<number> {
  const answeredAt = async (): Promise<number> => {
    await subject.ask({ path: '/slow?ms=300', key })
    return performance.now()
  }
  const first = answeredAt()
  // Twice what a waiter may take: who is not made to wait, but run, is as much later.
  await sleep(100)
  const second = answeredAt()
  return Math.abs((await second) - (await first))
}
