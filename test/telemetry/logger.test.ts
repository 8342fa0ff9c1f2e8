import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onceward } from 'onceward'
import { logEvents } from 'onceward/logger'
import { memory } from 'onceward/memory'
import { pino } from 'pino'
import { FaultyStore } from '../engine/faulty-store.ts'
import { assertNoUnhandledRejections } from '../engine/support.ts'

assertNoUnhandledRejections()

const charge = { scope: 'tenant-1', name: 'charge', key: 'k-1' } as const
const levels = { debug: 20, info: 30, warn: 40, error: 50 }

interface Line {
  readonly level: number
  readonly msg: string
  readonly event: string
  readonly name?: string
  readonly key?: string
  readonly scopeDigest?: string
  readonly attempt?: number
  readonly durationMs?: number
  readonly err?: { readonly type: string; readonly message: string; readonly stack: string }
}

/** A pino that writes to a list. */
function logger(): { log: pino.Logger; lines: Line[] } {
  const lines: Line[] = []
  return { log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }), lines }
}

test('every event is one line, with a level by what it means for an operator', async () => {
  const { log, lines } = logger()
  const store = new FaultyStore(memory())
  const once = onceward({ store, interrupted: 'hold', onEvent: logEvents(log) })
  await Promise.all([once.run(charge, () => 'done'), once.run(charge, () => 'never')])
  await once.try({ ...charge, input: 1 }, () => 'never')
  const other = { ...charge, key: 'k-2' }
  await assert.rejects(once.run(other, () => Promise.reject(new Error('reader on fire'))))
  await once.try(other, () => 'never')
  await once.resolve(other, 'absent', { actor: 'ada', reason: 'looked' })
  store.spoil('find', 'loseRequest')
  await assert.rejects(once.peek(charge))
  assert.deepEqual(
    lines.map(({ event, level, msg }) => [event, level, msg]),
    [
      ['waiting', levels.debug, 'onceward: waiting for the running operation'],
      ['opened', levels.info, 'onceward: store open'],
      ['claimed', levels.debug, 'onceward: operation claimed'],
      ['completed', levels.debug, 'onceward: operation completed'],
      ['replayed', levels.info, 'onceward: outcome replayed'],
      ['mismatch', levels.warn, 'onceward: key used before with another input'],
      ['claimed', levels.debug, 'onceward: operation claimed'],
      ['interrupted', levels.warn, 'onceward: attempt ended without an outcome to keep'],
      ['held', levels.error, 'onceward: operation is held until someone resolves it'],
      ['resolved', levels.info, 'onceward: held operation resolved'],
      ['storeFailed', levels.error, 'onceward: store call failed'],
    ],
  )
})

test('every line about an operation bears its name, its key, a digest of its scope, and its attempt where there is one', async () => {
  const { log, lines } = logger()
  const once = onceward({ store: memory(), onEvent: logEvents(log) })
  await assert.rejects(once.run(charge, () => Promise.reject(new Error('flaky'))))
  await Promise.all([once.run(charge, () => 'done'), once.run(charge, () => 'never')])
  const about = lines.filter(({ event }) => event !== 'opened')
  assert.ok(about.every(({ name, key, scopeDigest }) => name === 'charge' && key === 'k-1' && scopeDigest?.length === 16))
  assert.ok(about.every(({ durationMs }) => durationMs !== undefined && durationMs >= 0))
  assert.deepEqual(
    about.map(({ event, attempt }) => [event, attempt]),
    [
      ['claimed', 1],
      ['interrupted', 1],
      ['waiting', undefined],
      ['claimed', 2],
      ['completed', 2],
      ['replayed', undefined],
    ],
  )
  assert.ok(!JSON.stringify(lines).includes('tenant-1'))
})

test('an error is serialised with its type, its message and its stack', async () => {
  const { log, lines } = logger()
  const once = onceward({ store: memory(), onEvent: logEvents(log) })
  await assert.rejects(once.run(charge, () => Promise.reject(new RangeError('reader on fire'))))
  const err = lines.find(({ event }) => event === 'interrupted')?.err
  assert.deepEqual([err?.type, err?.message], ['RangeError', 'reader on fire'])
  assert.match(err?.stack ?? '', /logger\.test\.ts/)
})

test('a throw of something that is no error is logged as it is', async () => {
  const { log, lines } = logger()
  const once = onceward({ store: memory(), onEvent: logEvents(log) })
  await once.run(charge, () => Promise.reject('just text')).catch(() => {})
  await once.run(charge, () => Promise.reject(undefined)).catch(() => {})
  const interrupted = lines.filter(({ event }) => event === 'interrupted')
  assert.deepEqual(
    interrupted.map(({ attempt, err }) => [attempt, err]),
    [
      [1, 'just text'],
      [2, undefined],
    ],
  )
})

test('a logger that throws changes nothing', async () => {
  const broken = { debug: fail, info: fail, warn: fail, error: fail }
  const once = onceward({ store: memory(), onEvent: logEvents(broken) })
  assert.equal(await once.run(charge, () => 'done'), 'done')
  function fail(): never {
    throw new Error('disk full')
  }
})
