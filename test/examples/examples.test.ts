import assert from 'node:assert/strict'
import { test } from 'node:test'
import { start } from './program.ts'

async function printedBy(file: string): Promise<string> {
  const program = start(file)
  assert.equal(await program.ended(), 0, program.stderr())
  return program.stdout()
}

test('run.ts sends one mail for two calls and gives both the same value', async () => {
  assert.equal(await printedBy('run.ts'), 'welcome, ada@example.com\nwelcome, ada@example.com\nmails sent: 1\n')
})

for (const file of ['express.ts', 'fastify.ts', 'fetch.ts', 'hono.ts', 'koa.ts', 'node.ts']) {
  test(`${file} makes one order of two requests and says that the second answer is a replay`, async () => {
    assert.equal(await printedBy(file), 'first: 201 {"order":1}\nagain: 201 {"order":1}, replayed\n')
  })
}

const others = {
  'transaction.ts': "first: { item: 'book' }\nagain: { item: 'book' }\nanother: book is sold out\norders: 1\n",
  'ride.ts': [
    'first: the process fails here',
    "again: { driver: 'Ada', to: 'the station' }",
    "once more: { driver: 'Ada', to: 'the station' }",
    'another: no driver is free',
    'payments: 2, refunds: 1, messages: 1\n',
  ].join('\n'),
  'reservation.ts': 'first: reserved\nagain: busy\nanother amount: mismatch\nafter the job: completed, paid 5\n',
}
for (const [file, printed] of Object.entries(others))
  test(`${file} prints what it is there to show`, async () => assert.equal(await printedBy(file), printed))

test('nest.ts, compiled for its decorators, makes one order of two requests and says that the second answer is a replay', async () => {
  const compiler = start('../node_modules/typescript/bin/tsc', ['-p', 'examples/tsconfig.json'])
  assert.equal(await compiler.ended(), 0, compiler.stdout())
  assert.equal(
    await printedBy('../.cache/examples/examples/nest.js'),
    'first: 201 {"order":1}\nagain: 201 {"order":1}, replayed\n',
  )
})
