import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once as eventOf } from 'node:events'
import { after, before, suite, test } from 'node:test'
import { hasMariadb, notRun, startMariadb, type Mariadb } from '../../scripts/servers/mariadb.ts'
import { poolFor } from './mysql-support.ts'

const program = new URL('mysql-child.ts', import.meta.url).pathname
const skip = (await hasMariadb()) ? false : notRun
const children: ChildProcess[] = []
let server: Mariadb
before(async () => {
  if (skip === false) server = await startMariadb()
})
after(async () => {
  for (const child of children) child.kill('SIGKILL')
  await server?.stop()
})

/** Starts a process, and resolves with what it says once it is told to go on. */
async function started(args: readonly string[]): Promise<() => Promise<readonly string[]>> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  let said = ''
  child.stdout.on('data', (chunk) => (said += String(chunk)))
  await eventOf(child.stdout, 'data')
  return async () => {
    child.stdin.write('go\n')
    const [code] = await eventOf(child, 'close')
    assert.equal(code, 0)
    return said.trim().split('\n').slice(1)
  }
}

suite('processes on one MariaDB', { skip }, () => {
  test('of 100 calls of one operation at once in two processes on MySQL one has its effect, and all have its answer', async (t) => {
    const database = await server.database()
    const pool = poolFor(t, database)
    await pool.query('CREATE TABLE effects (name VARCHAR(20))')
    const both = await Promise.all([started([database.url, '50', 'first']), started([database.url, '50', 'other'])])
    const answers = (await Promise.all(both.map(async (go) => go()))).flat()
    const [effects] = await pool.query('SELECT name FROM effects')
    assert.ok(Array.isArray(effects))
    assert.equal(effects.length, 1)
    assert.equal(answers.length, 100)
    assert.deepEqual([...new Set(answers)], [Object(effects[0])['name']])
  })
})
