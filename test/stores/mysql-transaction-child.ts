/**
 * A process that makes transactions on a MySQL database that it shares with others, told in its arguments: the database's address, and the
 * word its keys begin with, or none for the one operation that its parent stops it in. It says each key that it asks for before it does, and
 * each answer, a line at a time.
 */
import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPool } from 'mysql2/promise'
import { onceward } from '../../src/index.ts'
import { mysql } from '../../src/stores/mysql.ts'

const [url = '', word = ''] = process.argv.slice(2)
const say = (line: string): void => void writeSync(1, `${line}\n`)

const pool = createPool(url)
const once = onceward({ store: mysql(pool), wait: '60s', transactionTimeout: '1s' })
await once.open()

async function effect(key: string): Promise<string> {
  return once.transaction({ scope: 'acme', name: 'order', key }, async ({ tx }) => {
    const token = crypto.randomUUID()
    await tx.query('INSERT INTO effects (name, token) VALUES (?, ?)', [key, token])
    if (word === '') {
      say('inside')
      await sleep(500)
    }
    return token
  })
}

async function insisted(key: string): Promise<string> {
  for (;;) {
    const token = await effect(key).catch(() => sleep(20))
    if (token !== undefined) return token
  }
}

if (word === '') {
  say(`answered ${await insisted('stopped')}`)
  await once.close()
  await pool.end()
} else {
  let next = 0
  const caller = async (): Promise<never> => {
    for (;;) {
      const key = `${word}-${next++ >> 1}`
      say(`asked ${key}`)
      say(`answered ${key} ${await insisted(key)}`)
    }
  }
  await Promise.all(Array.from({ length: 6 }, caller))
}
