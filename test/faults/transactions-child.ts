// Makes orders in transactions until it is killed, on the SQLite file given: each key twice at once, and says each answer it was given.
// `together`: effect and record in one commit. `apart`: the broken variant, whose claim is a transaction of its own and is deleted on error.
import { writeSync } from 'node:fs'
import { onceward } from 'onceward'
import { sqlite } from 'onceward/sqlite'

const [file = '', how = '', first = '0'] = process.argv.slice(2)
const store = sqlite(file)
const once = onceward({ store, wait: '10s', lease: '200ms' })
await once.open()

async function order(key: string): Promise<void> {
  const request = { scope: 'acme', name: 'order', key, input: key }
  const value =
    how === 'together'
      ? await once.transaction(request, async ({ tx }) => {
          tx.prepare('INSERT INTO orders VALUES (?)').run(key)
          await new Promise((resolve) => setImmediate(resolve))
          return `ordered ${key}`
        })
      : await once.run(request, async () => {
          const insert = async (tx: Parameters<typeof store.bridge.query>[0]): Promise<unknown> =>
            store.bridge.query(tx, 'INSERT INTO orders VALUES (?)', [key])
          await store.bridge.transaction(insert, { transactionMs: 1_000 })
          return `ordered ${key}`
        })
  writeSync(1, `${key} ${value}\n`)
}

// The keys that the process before this one may have been killed at come first.
for (let number = Math.max(0, Number(first) - 8); ; number += 4)
  await Promise.all([0, 1, 2, 3, 0, 1, 2, 3].map((index) => order(`k${number + index}`)))
