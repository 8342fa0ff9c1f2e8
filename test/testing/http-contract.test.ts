import { test } from 'node:test'
import { strict as assert } from 'node:assert'
import { httpContract, type HttpContractOptions, type StartFixture } from 'onceward/testing'
import { startFixture } from '../fixture/start.ts'

type Cases = Map<string, () => Promise<void>>

/** The suite's behaviours by name. */
function suite(start: StartFixture, options?: HttpContractOptions): Cases {
  const cases: Cases = new Map()
  httpContract((name, body) => cases.set(name, body), 'it', start, options)
  return cases
}

const sound: StartFixture = async (args) => startFixture(args)

/** The fixture with its layer where it protects nothing that is asked. */
const unprotected: StartFixture = async (args) =>
  startFixture([...args.filter((arg) => arg !== '--require-key'), '--optional-key', '--methods', 'LINK'])

async function run(cases: Cases, name: string): Promise<void> {
  const body = cases.get(name)
  assert.ok(body, `there is a behaviour '${name}'`)
  return body()
}

/** What a server shows that has no layer at all. */
const shownByAll = [
  'it: without a key an optional route runs every time, without a marker',
  'it: a streamed answer reaches its first client as it is produced',
  // Node's parser refuses it.
  'it: a control byte in the key is refused and nothing runs',
  'it: early data without a key passes where the key is optional',
  'it: revoked credentials get 401 and not the stored answer',
  'it: GET, HEAD and OPTIONS pass with a key, without a marker',
]

test('no behaviour is shown by a server without the layer, but for those that say what it leaves alone', async () => {
  const shown: string[] = []
  const started = [...suite(unprotected)].map(async ([name, body]) =>
    body().then(
      () => shown.push(name),
      () => undefined,
    ),
  )
  await Promise.all(started)
  assert.deepEqual(shown.toSorted(), shownByAll.toSorted())
})

test('each behaviour of the suite has a name of its own, and the name of what is tested before it', () => {
  const names: string[] = []
  httpContract((name) => names.push(name), 'mine', sound)
  assert.ok(names.length > 60)
  assert.equal(new Set(names).size, names.length)
  assert.ok(names.every((name) => name.startsWith('mine: ')))
})

test('an adapter that deviates must fail there, and no longer than it does', async () => {
  const deviations = { 'where strict, the bare form is refused': 'a reason' }
  const name = 'it: where strict, the bare form is refused (deviates: a reason)'
  await run(suite(unprotected, { deviations }), name)
  await assert.rejects(run(suite(sound, { deviations }), name), /remove the deviation/)
})

test('no adapter may deviate from a behaviour of safety, or from one that does not exist', () => {
  const deviating = (name: string): Cases => suite(sound, { deviations: { [name]: 'a reason' } })
  assert.throws(() => deviating('after a mismatch the original still replays'), /safety case and admits no deviation/)
  assert.throws(() => deviating('no such behaviour'), /names no case/)
})

test('the server of a behaviour is closed whether it is shown or not', async () => {
  let closed = 0
  const counted: StartFixture = async (args) => {
    const { url, close } = await unprotected(args)
    return { url, close: async () => close().then(() => void (closed += 1)) }
  }
  await run(suite(counted), shownByAll[0] ?? '')
  await assert.rejects(run(suite(counted), 'it: after a mismatch the original still replays'))
  assert.equal(closed, 2)
})
