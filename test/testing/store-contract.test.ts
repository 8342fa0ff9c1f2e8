import { test } from 'node:test'
import { strict as assert } from 'node:assert'
import { memory } from '../../src/stores/memory.ts'
import { installed } from '../../src/testing/store/fast-check.ts'
import { storeContract, type ContractDatabase, type OpenDatabase, type StoreContractOptions } from 'onceward/testing'

const unclosed = 'a call made after close rejects with an error'
const notKept = 'a claim of an operation without a record is claimed as attempt 1, without steps'

/** The suite on the memory store, its cases by name. */
function suite(options: StoreContractOptions, given: Partial<ContractDatabase> = {}): Map<string, () => Promise<void>> {
  const cases = new Map<string, () => Promise<void>>()
  storeContract((name, body) => cases.set(name, body), memoryWith(given), options)
  return cases
}

function memoryWith(given: Partial<ContractDatabase>): OpenDatabase {
  const impossible = { impossible: 'the records are in the instance' }
  return async ({ clockOffsetMs }) => ({
    store: memory({ clockOffsetMs }),
    second: impossible,
    refused: impossible,
    close: async () => {},
    ...given,
  })
}

async function run(cases: Map<string, () => Promise<void>>, name: string): Promise<void> {
  const body = cases.get(name)
  assert.ok(body, `there is a case '${name}'`)
  return body()
}

test('each case of the suite has a name of its own', () => {
  const names: string[] = []
  storeContract((name) => names.push(name), memoryWith({}))
  assert.equal(new Set(names).size, names.length)
  assert.ok(names.length > 100)
})

test('a case that the store deviates from is named with the reason, and must fail', async () => {
  const deviations = { [unclosed]: 'there is nothing to close' }
  await assert.rejects(run(suite({}), unclosed), { name: 'AssertionError' })
  await run(suite({ deviations }), `${unclosed} (deviates: there is nothing to close)`)
})

test('a deviation of a case that passes fails: it has outlived its reason', async () => {
  const name = 'find and list change nothing'
  await assert.rejects(run(suite({ deviations: { [name]: 'a reason' } }), `${name} (deviates: a reason)`), /remove the deviation/)
})

test('a deviation of a safety case, of no case or without a reason is refused', () => {
  assert.throws(() => suite({ deviations: { [notKept]: 'a reason' } }), /safety case and admits no deviation/)
  assert.throws(() => suite({ deviations: { 'no such case': 'a reason' } }), /names no case/)
  assert.throws(() => suite({ deviations: { [unclosed]: ' ' } }), /has no reason/)
})

test('what is impossible needs a reason', async () => {
  const name = 'every instance on a database judges by the same clock'
  await run(suite({}), name)
  await assert.rejects(run(suite({}, { second: { impossible: '' } }), name), /say why/)
})

test('a database is removed whether its case passes or fails', async () => {
  let removed = 0
  const close = async (): Promise<void> => void (removed += 1)
  await run(suite({}, { close }), notKept)
  await assert.rejects(run(suite({}, { close }), unclosed))
  assert.equal(removed, 2)
})

test('a property that fails names the seed that replays it', async () => {
  const forgetful = memory()
  const store = { ...forgetful, open: async () => {}, close: async () => {}, claim: async () => [] }
  const name = 'any sequence of calls does what the transition tables say'
  await assert.rejects(run(suite({ seed: 7 }, { store }), name), /seed: 7/)
})

test('without fast-check the error names what to install', async () => {
  const load = async (): Promise<never> => Promise.reject(new Error('Cannot find package'))
  await assert.rejects(installed(load), /install fast-check as a dev dependency/)
})
