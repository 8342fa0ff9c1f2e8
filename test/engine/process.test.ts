import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'

/** What a program prints that runs to its end in a process of its own. */
async function printed(program: string): Promise<string> {
  const source = `
    import { onceward } from 'onceward'
    import { memory } from 'onceward/memory'
    const charge = { scope: 'tenant-1', name: 'charge', key: 'k-1' }
    ${program}`
  const args = ['--input-type=module', '--eval', source]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname, timeout: 60_000 })
  return stdout.trim()
}

describe('a process', () => {
  test('ends by itself when its operations have, without close()', async () => {
    const program = `
      const once = onceward({ store: memory() })
      console.log(await once.run(charge, () => 'done'), await once.run(charge, () => 'never'))`
    assert.equal(await printed(program), 'done done')
  })

  test('ends by itself though a handler was given up that never ends', async () => {
    const program = `
      const once = onceward({ store: memory(), attemptTimeout: 50, lease: 100 })
      const keepAlive = setTimeout(() => {}, 60_000)
      await once.run(charge, () => new Promise(() => {})).catch(({ code }) => console.log(code))
      clearTimeout(keepAlive)`
    assert.equal(await printed(program), 'attempt_timeout')
  })

  test('is kept alive by a call that waits for a store, until that is told to be away', async () => {
    const program = `
      const store = memory()
      store.claim = () => new Promise(() => {})
      const once = onceward({ store, storeTimeout: 1100 })
      once.run(charge, () => 'never').catch(({ code }) => console.log(code))
      await once.open()`
    assert.equal(await printed(program), 'store_unavailable')
  })
})
