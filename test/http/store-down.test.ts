import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memory } from 'onceward/memory'
import { ask, codeOf, isReplay } from '../../src/testing/http/ask.ts'
import { frameworks, serve, type Handler } from './serving.ts'
import type { Store } from 'onceward'

/** A store that can be made to fail: its claims, its settlements, or never to answer. */
class FlakyStore {
  readonly store: Store
  claims: 'fine' | 'fail' | 'hang' = 'fine'
  settlements: 'fine' | 'fail' = 'fine'

  constructor() {
    const inner = memory()
    this.store = Object.assign(Object.create(inner) as Store, {
      synchronous: false,
      claim: async (claims: never) => {
        if (this.claims === 'hang') await new Promise(() => {})
        if (this.claims === 'fail') throw new Error('connect ECONNREFUSED db.internal:5432')
        return inner.claim(claims)
      },
      settle: async (settlements: never) => {
        if (this.settlements === 'fail') throw new Error('connect ECONNREFUSED db.internal:5432')
        return inner.settle(settlements)
      },
      open: () => inner.open(),
      find: (ids: never) => inner.find(ids),
      sweep: (limit: number) => inner.sweep(limit),
      close: () => inner.close(),
      watch: undefined,
    })
  }
}

for (const framework of frameworks)
  for (const claims of ['fail', 'hang'] as const)
    test(`${framework}: while the store's claims ${claims} requests are refused, nothing runs, and no host is named`, async () => {
      const flaky = new FlakyStore()
      let runs = 0
      const handler: Handler = (_, response) => response.end(String((runs += 1)))
      const served = await serve(framework, handler, { engine: { store: flaky.store, storeTimeout: 100 } })
      try {
        flaky.claims = claims
        const answer = await ask(served.url, { path: '/', key: 'k1' })
        assert.deepEqual([answer.status, codeOf(answer)], [503, 'idempotency_store_unavailable'])
        assert.ok(Number(answer.headers['retry-after']) >= 1)
        assert.ok(!answer.text.includes('db.internal'))
        flaky.claims = 'fine'
        assert.equal((await ask(served.url, { path: '/', key: 'k2' })).text, '1')
      } finally {
        await served.close()
      }
    })

for (const framework of frameworks) {
  test(`${framework}: where the option says so, a request runs unprotected while the store is down`, async () => {
    const flaky = new FlakyStore()
    flaky.claims = 'fail'
    let runs = 0
    const handler: Handler = (_, response) => response.end(String((runs += 1)))
    const served = await serve(framework, handler, {
      engine: { store: flaky.store, storeTimeout: 100 },
      http: { storeDown: 'run' },
    })
    try {
      assert.equal((await ask(served.url, { path: '/', key: 'k1', body: '{}' })).text, '1')
      assert.equal((await ask(served.url, { path: '/', key: 'k1', body: '{}' })).text, '2')
    } finally {
      await served.close()
    }
  })

  test(`${framework}: while the outcome cannot be saved the caller gets the handler's answer, and it is saved later`, async () => {
    const flaky = new FlakyStore()
    let runs = 0
    const handler: Handler = (_, response) => response.end(String((runs += 1)))
    const served = await serve(framework, handler, { engine: { store: flaky.store, storeTimeout: 1_000 } })
    try {
      flaky.settlements = 'fail'
      const first = ask(served.url, { path: '/', key: 'k1' })
      setTimeout(() => (flaky.settlements = 'fine'), 300)
      assert.equal((await first).text, '1')
      const second = await ask(served.url, { path: '/', key: 'k1' })
      assert.deepEqual([second.text, isReplay(second)], ['1', true])
    } finally {
      await served.close()
    }
  })

  test(`${framework}: a server that is shutting down refuses with 503`, async () => {
    const served = await serve(framework, (_, response) => response.end('done'))
    await served.once.close()
    const answer = await ask(served.url, { path: '/', key: 'k1' })
    assert.deepEqual([answer.status, codeOf(answer)], [503, 'idempotency_store_unavailable'])
    await served.close()
  })
}
