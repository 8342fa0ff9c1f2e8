/**
 * A process that shares a MySQL database with others, told in its arguments: the database's address, what to do, and its own name. It says
 * what the engine or the store acknowledged to it a line at a time, each before it asks for anything else.
 */
import { writeSync } from 'node:fs'
import { createPool, type Pool } from 'mysql2/promise'
import { onceward } from '../../src/index.ts'
import { mysql } from '../../src/stores/mysql.ts'

const [url = '', callers = '50', name = ''] = process.argv.slice(2)
const say = (line: string): void => void writeSync(1, `${line}\n`)

/** One effect, which anyone can count. */
async function charge(pool: Pool): Promise<string> {
  await pool.query('INSERT INTO effects (name) VALUES (?)', [name])
  return name
}

const pool = createPool(url)
const once = onceward({ store: mysql(pool), wait: '60s' })
say('ready')
await new Promise((resolve) => process.stdin.once('data', resolve))
const asked = Array.from({ length: Number(callers) }, () =>
  once.run({ scope: 'acme', name: 'charge', key: 'one' }, () => charge(pool)),
)
for (const answer of await Promise.all(asked)) say(answer)
await once.close()
await pool.end()
process.stdin.destroy()
