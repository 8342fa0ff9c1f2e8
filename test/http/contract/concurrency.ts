import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, isReplay } from './ask.ts'
import type { It } from './harness.ts'

/** Behaviours 22, 25, 26 and 27: many at once. */
export function concurrencyBehaviours(it: It): void {
  it('of 100 identical requests at once one runs, and all have its answer', ['--wait-ms', '60000'], async (subject) => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => subject.ask({ path: '/slow?ms=50', key: 'k1' })))
    assert.deepEqual([...new Set(answers.map(({ status, text }) => `${status} ${text}`))], ['200 slept:50 effect:1'])
    assert.equal(answers.filter((answer) => !isReplay(answer)).length, 1)
    assert.equal(await subject.effects(), 1)
  })

  it('without waiting a duplicate is told to ask again', ['--wait-ms', '0'], async (subject) => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => subject.ask({ path: '/slow?ms=500', key: 'k1' })))
    const [done, busy] = [answers.filter(({ status }) => status === 200), answers.filter(({ status }) => status === 409)]
    assert.equal(done.length + busy.length, 100)
    assert.ok(busy.length > 0)
    for (const answer of busy) {
      assert.equal(codeOf(answer), 'idempotency_in_progress')
      assert.ok(Number(answer.headers['retry-after']) >= 1)
    }
    assert.equal(await subject.effects(), 1)
  })

  it('Prefer: wait shortens the wait, and unknown preferences are ignored', [], async (subject) => {
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
  })

  it('Prefer: wait does not lengthen the wait', ['--wait-ms', '0'], async (subject) => {
    const running = subject.ask({ path: '/slow?ms=600', key: 'k1' })
    await sleep(100)
    const busy = await subject.ask({ path: '/slow?ms=600', key: 'k1', headers: { prefer: 'wait=30' } })
    assert.equal(codeOf(busy), 'idempotency_in_progress')
    await running
  })

  it(
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
  )

  it('a handler slower than the lease keeps it, and runs once', ['--lease-ms', '300'], async (subject) => {
    const question = { path: '/slow?ms=1200', key: 'k1' }
    const [first, second] = await Promise.all([subject.ask(question), subject.ask(question)])
    assert.equal(first.text, second.text)
    assert.equal(await subject.effects(), 1)
  })
}
