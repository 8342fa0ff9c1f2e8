import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { DatabaseSync } from 'node:sqlite'
import { once as eventOf } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

/** Kills in a row; more by `ONCEWARD_KILLS`. */
const kills = Number(process.env['ONCEWARD_KILLS'] ?? 50)

/** What was found on the file after all the kills. */
interface Found {
  readonly effects: readonly string[]
  /** Answers that somebody was given. */
  readonly answers: readonly string[]
  readonly killed: number
}

/** Starts a process on one file again and again, and kills each at a random point of its work. */
async function killedAgainAndAgain(how: 'together' | 'apart', times: number): Promise<Found> {
  const file = join(mkdtempSync(join(tmpdir(), 'onceward-')), 'onceward.db')
  const database = new DatabaseSync(file)
  database.exec('CREATE TABLE orders (item TEXT)')
  const answers: string[] = []
  let next = 0
  let killed = 0
  for (let time = 0; time < times; time += 1) {
    const child = spawn(process.execPath, [new URL('transactions-child.ts', import.meta.url).pathname, file, how, String(next)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const answersAtMost = 1 + Math.floor(Math.random() * 60)
    let lines = 0
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const said = (rest + text).split('\n')
      rest = said.pop() ?? ''
      for (const line of said) {
        answers.push(line)
        next = Math.max(next, Number(/^k(\d+)/.exec(line)?.[1]))
      }
      lines += said.length
      // Somewhere within the next few transactions.
      if (lines >= answersAtMost) setTimeout(() => child.kill('SIGKILL'), Math.random() * 5)
    })
    const [, signal] = (await eventOf(child, 'close')) as [number | null, string | null]
    if (signal === 'SIGKILL') killed += 1
  }
  const effects = (database.prepare('SELECT item FROM orders').all() as { item: string }[]).map(({ item }) => item)
  database.close()
  return { effects, answers, killed }
}

test(
  `a process in transactions on SQLite that is killed ${kills} times at random leaves one effect for each key, and every answer true`,
  {
    timeout: 60_000 + kills * 2_000,
  },
  async () => {
    const { effects, answers, killed } = await killedAgainAndAgain('together', kills)
    assert.equal(killed, kills)
    assert.equal(effects.length, new Set(effects).size, 'no effect twice')
    const keys = new Set(answers.map((line) => line.split(' ')[0] ?? ''))
    for (const key of keys) assert.ok(effects.includes(key), `${key} was answered, and its effect is there`)
    for (const line of answers) assert.match(line, /^(k\d+) ordered \1$/)
    assert.ok(keys.size > kills, `${keys.size} keys were answered`)
  },
)

test(
  'the same with the claim in a transaction of its own has effects twice: the test can tell',
  { timeout: 110_000 },
  async () => {
    for (let round = 0; round < 12; round += 1) {
      const { effects } = await killedAgainAndAgain('apart', 10)
      if (effects.length > new Set(effects).size) return
    }
    assert.fail('no effect came twice')
  },
)
