// An order and its record in one commit: asked for twice, and once while the shop is sold out.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onceward, refusal } from 'onceward'
import { sqlite, type SqliteDatabase } from 'onceward/sqlite'

const file = join(mkdtempSync(join(tmpdir(), 'onceward-')), 'shop.db')
const shop = onceward({ store: sqlite(file) })
const scope = 'acme'

await shop.transaction({ scope, name: 'set-up', key: 'tables' }, ({ tx }) => {
  tx.exec('CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INTEGER NOT NULL)')
  tx.exec('CREATE TABLE orders (item TEXT NOT NULL)')
  tx.exec("INSERT INTO stock VALUES ('book', 1)")
})

function order(tx: SqliteDatabase, item: string): { item: string } {
  tx.prepare('INSERT INTO orders VALUES (?)').run(item)
  const { changes } = tx.prepare('UPDATE stock SET pieces = pieces - 1 WHERE item = ? AND pieces > 0').run(item)
  // The order above is rolled back with everything else, and the refusal remembered.
  if (changes === 0) throw refusal(409, `${item} is sold out`)
  return { item }
}

const input = { item: 'book' }
const ask = (key: string): Promise<{ item: string }> =>
  shop.transaction({ scope, name: 'order', key, input }, ({ tx }) => order(tx, input.item))

console.log('first:', await ask('order-1'))
console.log('again:', await ask('order-1'))
console.log('another:', await ask('order-2').catch((error: Error) => error.message))
console.log(
  'orders:',
  await shop.transaction({ scope, name: 'count', key: 'now' }, ({ tx }) => tx.prepare('SELECT item FROM orders').all().length),
)
await shop.close()
