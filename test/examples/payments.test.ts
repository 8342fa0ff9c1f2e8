import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openCharges } from '../../examples/payments/charges.ts'
import { start, startNpm } from './program.ts'
import type { Program } from './program.ts'

const SERVING = /with 422:\ncurl .*\n/
const ORIGIN = /http:\/\/127\.0\.0\.1:\d+/

describe('the payments API of npm start', { timeout: 120_000 }, () => {
  let directory = ''
  const started: Program[] = []

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'payments-test-'))
  })
  after(async () => {
    await Promise.all(started.map((program) => program.ended('SIGKILL')))
    await rm(directory, { recursive: true, force: true })
  })

  function npmStart(args: readonly string[], port = '0'): Program {
    const program = start('payments/start.ts', args, { PORT: port })
    started.push(program)
    return program
  }
  const data = (name: string): string[] => ['--data', join(directory, name)]

  test('charges once for the three curl lines it prints, and replays after a restart on the same files', async () => {
    const first = npmStart(['--no-demo', ...data('curl')])
    await first.printed(SERVING)
    assert.doesNotMatch(first.stdout(), /Payments intended/)
    const [charge, repeat, reuse] = curlLines(first)
    const charged = await send(charge)
    assert.equal(charged.status, 201)
    assert.equal(charged.replayed, null)
    assert.deepEqual(JSON.parse(charged.body), { id: 1, customer: 'ada', amount: 1999, currency: 'EUR' })
    assert.deepEqual(await send(repeat), { ...charged, replayed: 'true' })
    const refused = await send(reuse)
    assert.equal(refused.status, 422)
    assert.match(refused.body, /idempotency_key_reused/)
    assert.equal(await first.ended('SIGTERM'), 0)

    const second = npmStart(['--no-demo', ...data('curl')])
    const [origin] = await second.printed(ORIGIN)
    await second.printed(SERVING)
    assert.deepEqual(await send({ ...charge, url: `${origin}/charges` }), { ...charged, replayed: 'true' })
    const [fresh] = curlLines(second)
    assert.equal((await send(fresh)).replayed, null)
    assert.deepEqual(pick(await books(origin)), { count: 2, sums: { EUR: 3998 } })
    assert.equal(await second.ended('SIGTERM'), 0)
  })

  test('makes 1,000 payments over a lossy network and charges exactly 1,000, more without Onceward; not counting earlier charges', async () => {
    await mkdir(join(directory, 'earlier'))
    const earlier = openCharges(join(directory, 'earlier', 'payments.db'))
    earlier.add({ customer: 'ada', amount: 1, currency: 'EUR' })
    earlier.close()
    const program = npmStart(data('earlier'))
    await program.printed(SERVING)
    const [origin] = await program.printed(ORIGIN)
    const row = (label: string): [number, number] => rowOf(program.stdout(), label)
    assert.deepEqual(row('Payments intended'), [1_000, 1_000])
    for (const label of ['Requests sent', 'Requests that reached the API'])
      assert.ok(
        row(label).every((count) => count > 1_000),
        label,
      )
    assert.ok(row('Answers lost, or too late').every((count) => count > 50))
    const [charges, chargesWithout] = row('Charges made')
    assert.equal(charges, 1_000)
    assert.ok(chargesWithout > 1_000, String(chargesWithout))
    const [reached, reachedWithout] = row('Requests that reached the API')
    assert.deepEqual(row('Duplicates absorbed'), [reached - 1_000, reachedWithout - chargesWithout])
    assert.equal((await books(origin)).count, 1_001)
    const tooWide = program
      .stdout()
      .split('\n')
      .filter((line) => line.length > 80 && !/^(curl|Data in) /.test(line))
    assert.deepEqual(tooWide, [])
    assert.equal(await program.ended('SIGINT'), 0)
  })

  test('ends with code 0 when it is stopped in the middle of the payments', async () => {
    const program = npmStart(data('stopped'))
    await program.printed(/payments through a network/)
    assert.equal(await program.ended('SIGTERM'), 0)
    assert.equal(program.stderr().replaceAll(/.*ExperimentalWarning.*\n|.*--trace-warnings.*\n/g, ''), '')
  })

  test('ends with the npm that started it, so that its port is free for the next start', async () => {
    const npm = startNpm(['start', '--', '--no-demo', ...data('npm')], { PORT: '0' })
    started.push(npm)
    await npm.printed(SERVING)
    const [origin] = await npm.printed(ORIGIN)
    await npm.ended('SIGTERM')
    await assert.rejects(fetch(`${origin}/charges`))
  })

  test('says in one line that its port is taken, and what to do', async () => {
    const holder = npmStart(['--no-demo', ...data('holder')])
    const [origin] = await holder.printed(ORIGIN)
    const { port } = new URL(origin)
    const program = npmStart(['--no-demo', ...data('taken')], port)
    await saysInOneLine(
      program,
      new RegExp(`^Cannot listen on port ${port}: it is taken\\. Choose another: PORT=\\d+ npm start$`),
    )
  })

  test('says in one line which setting is wrong, and which data directory cannot be used', async () => {
    const file = join(directory, 'file')
    await writeFile(file, '')
    await Promise.all([
      saysInOneLine(npmStart(['--data', file]), /^Cannot use .*Choose another directory: npm start -- --data DIR$/),
      saysInOneLine(npmStart([], '70000'), /^PORT must be a whole number from 0 to 65535$/),
      saysInOneLine(npmStart(['--seed', 'x']), /^--seed must be a whole number/),
      saysInOneLine(npmStart(['--fast']), /'--fast'.* Allowed: --no-demo, --seed NUMBER, --data DIR/),
    ])
  })
})

interface Curl {
  readonly url: string
  readonly key: string
  readonly body: string
}

function curlLines(program: Program): [Curl, Curl, Curl] {
  const pattern = /^curl -i (?<address>\S+) -H "Idempotency-Key: (?<key>[^"]+)" -d "(?<body>[^"]+)"$/gm
  const curls = [...program.stdout().matchAll(pattern)].map(({ groups }) => ({
    url: `http://${groups?.['address']}`,
    key: groups?.['key'] ?? '',
    body: groups?.['body'] ?? '',
  }))
  const [first, second, third] = curls
  if (!first || !second || !third || curls.length !== 3) throw new Error(`not three curl lines:\n${program.stdout()}`)
  return [first, second, third]
}

/** What curl would send. */
async function send({ url, key, body }: Curl): Promise<{ status: number; replayed: string | null; body: string }> {
  const headers = { 'idempotency-key': key, 'content-type': 'application/x-www-form-urlencoded' }
  const response = await fetch(url, { method: 'POST', headers, body })
  return { status: response.status, replayed: response.headers.get('idempotent-replayed'), body: await response.text() }
}

interface Books {
  readonly count: number
  readonly sums: Readonly<Record<string, number>>
}

async function books(origin: string): Promise<Books> {
  const response = await fetch(`${origin}/charges`)
  return JSON.parse(await response.text())
}

function pick({ count, sums }: Books): Books {
  return { count, sums }
}

function rowOf(stdout: string, label: string): [number, number] {
  const [, once, bare] = new RegExp(`^ +${label} +([\\d,]+) +([\\d,]+)$`, 'm').exec(stdout) ?? []
  return [numberOf(once), numberOf(bare)]
}

function numberOf(text: string | undefined): number {
  return Number(text?.replaceAll(',', ''))
}

async function saysInOneLine(program: Program, line: RegExp): Promise<void> {
  assert.equal(await program.ended(), 1)
  const errors = program
    .stderr()
    .split('\n')
    .filter((text) => text !== '' && !/ExperimentalWarning|--trace-warnings/.test(text))
  assert.equal(errors.length, 1, program.stderr())
  assert.match(errors[0] ?? '', line)
  assert.equal(program.stdout(), '')
}
