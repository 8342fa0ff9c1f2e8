import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { onceward, type Once } from 'onceward'
import { openStore } from '../fixture/stores.ts'
import { assertNoUnhandledRejections } from '../engine/support.ts'
import { Proxy } from './proxy.ts'
import { kinds, type Server } from './servers.ts'

assertNoUnhandledRejections()

for (const { name, skip, start } of kinds)
  suite(`a partition between the application and ${name}`, { skip }, () => {
    let server: Server
    before(async () => {
      server = await start()
    })
    after(async () => server.stop())

    test(`${name}: an attempt that is cut off for longer than its lease is fenced, and answers what its successor did`, async (t) => {
      const url = await server.fresh()
      const proxy = await Proxy.before(server.port)
      const ends: (() => Promise<void>)[] = []
      t.after(async () => {
        for (const each of ends) await each()
        await proxy.close()
      })
      const engineOn = async (address: string): Promise<Once> => {
        const { store, end } = await openStore(address)
        const once = onceward({ store, lease: 400, storeTimeout: 300, wait: '30s' })
        ends.push(async () => {
          await once.close()
          await end()
        })
        await once.open()
        return once
      }
      const late = await engineOn(url.replace(`:${server.port}`, `:${proxy.port}`))
      const successor = await engineOn(url)
      const operation = { scope: 'acme', name: 'charge', key: 'k' }
      const started = Promise.withResolvers<AbortSignal>()
      const go = Promise.withResolvers<string>()
      const answer = late.run(operation, async ({ signal }) => {
        started.resolve(signal)
        return go.promise
      })
      const signal = await started.promise
      proxy.hold()
      assert.equal(await successor.run(operation, ({ number }) => `attempt ${number}`), 'attempt 2')
      while (!signal.aborted) await pause(20)
      await assert.rejects(
        late.run({ ...operation, key: 'other' }, () => assert.fail('it ran without a store')),
        { code: 'store_unavailable' },
      )
      proxy.release()
      go.resolve('attempt 1')
      assert.equal(await answer, 'attempt 2')
      assert.equal(await successor.run(operation, () => assert.fail('it ran again')), 'attempt 2')
    })
  })
