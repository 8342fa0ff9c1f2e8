/**
 * A process that shares a file with others, told in its arguments: the driver, the file, what to do, and its own name. It says what
 * the store acknowledged to it a line at a time, each before it asks for anything else.
 */
import { writeSync } from 'node:fs'
import type { Store } from '../../src/core/store.ts'
import { sqlite } from '../../src/stores/sqlite.ts'
import { drivers } from './sqlite-support.ts'
import { claimOf, completionOf } from './store-support.ts'

const [driverName, file = '', task, owner = ''] = process.argv.slice(2)
const say = (line: string): void => void writeSync(1, `${line}\n`)

/** Claims each of a hundred operations in an order of its own, and says which it got. */
async function race(store: Store): Promise<void> {
  const keys = Array.from({ length: 100 }, (_, index) => `k${index}`).toSorted(() => Math.random() - 0.5)
  for (const key of keys) {
    const [result] = await store.claim([claimOf(key, { owner })])
    if (result?.state === 'claimed') say(key)
  }
}

/** Claims and completes without an end. */
async function work(store: Store): Promise<void> {
  for (let round = 0; ; round += 1) {
    const claims = Array.from({ length: 4 }, (_, index) => claimOf(`${owner}-${round}-${index}`, { owner: `${owner}-${round}` }))
    await store.claim(claims)
    say(`claimed ${claims.map(({ key }) => key).join(' ')}`)
    await store.settle(claims.map((claim) => completionOf(claim, claim.key.repeat(100))))
    say(`completed ${claims.map(({ key }) => key).join(' ')}`)
  }
}

const driver = drivers.find(({ name }) => name === driverName)?.driver
if (driver === undefined) throw new Error(`there is no driver '${driverName}'`)
const store = sqlite(file, { driver })
// Nothing opens the file before everybody is ready to.
say('ready')
await new Promise((resolve) => process.stdin.once('data', resolve))
await store.open()
await (task === 'race' ? race(store) : work(store))
await store.close()
process.stdin.destroy()
