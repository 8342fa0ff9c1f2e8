import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once as eventOf } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { suite, test } from 'node:test'
import { onceward } from 'onceward'
import { openStore } from '../fixture/stores.ts'
import { missingServers, notRun, serverKinds } from '../../scripts/servers/kinds.ts'

const program = new URL('../../scripts/servers.ts', import.meta.url).pathname

/** Whether somebody listens at the address. */
async function listens(url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const isThere = await eventOf(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return isThere
}

suite('npm run servers', () => {
  test('every server there is is started, serves a store by the address printed, and ends with SIGINT; the others are named', async (t) => {
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => child.kill('SIGKILL'))
    const lines: string[] = []
    for await (const line of createInterface(child.stdout)) {
      if (line.startsWith('SIGINT')) break
      lines.push(line)
    }
    const urls = lines.filter((line) => !line.startsWith('not run')).map((line) => line.split(/ +/)[1] ?? '')
    const missing = await missingServers()
    assert.equal(urls.length, Object.keys(serverKinds).length - missing.length)
    assert.deepEqual(
      lines.filter((line) => line.startsWith('not run')),
      missing.map(notRun),
    )
    for (const [index, url] of urls.entries()) {
      const { store, end } = await openStore(url)
      const once = onceward({ store })
      const key = String(index)
      assert.equal(await once.run({ scope: 'acme', name: 'charge', key }, () => url), url)
      await once.close()
      await end()
    }
    const ended = eventOf(child, 'exit')
    child.kill('SIGINT')
    assert.deepEqual(await ended, [0, null])
    assert.deepEqual(
      await Promise.all(urls.map(listens)),
      urls.map(() => false),
    )
  })
})
