import { checkDeviations, registerCase, type RegisterTest } from './deviations.ts'
import { batchCases } from './store/batches.ts'
import { claimCases } from './store/claims.ts'
import { commandCases } from './store/commands.ts'
import { lifeCases } from './store/life.ts'
import { operatorCases } from './store/operators.ts'
import { raceCases } from './store/races.ts'
import { settlementCases } from './store/settlements.ts'
import { timeCases } from './store/time.ts'
import { wordCases } from './store/words.ts'
import { runCase, type ContractCase, type Settings } from './store/subject.ts'
import type { OpenDatabase, StoreContractOptions } from './store/database.ts'

const runsByDefault = 50

const cases: readonly ContractCase[] = [
  ...claimCases,
  ...settlementCases,
  ...commandCases,
  ...raceCases,
  ...batchCases,
  ...timeCases,
  ...wordCases,
  ...operatorCases,
  ...lifeCases,
]

/**
 * Holds a store to the contract of `Store`: registers one test for each sentence of it, each on a database of its own.
 *
 * ```ts
 * import { test } from 'node:test'
 * import { memory } from 'onceward/memory'
 * import { storeContract } from 'onceward/testing'
 *
 * storeContract(
 *   test,
 *   async ({ clockOffsetMs }) => ({
 *     store: memory({ clockOffsetMs }),
 *     second: { impossible: 'the records are in the instance' },
 *     refused: { impossible: 'a map takes any data' },
 *     close: async () => {},
 *   }),
 *   { deviations: { 'a call made after close rejects with an error': 'there is nothing to close' } },
 * )
 * ```
 *
 * It needs fast-check as a dev dependency.
 * @param test registers a test: the `test` of node:test, vitest or jest
 * @param open makes a fresh, empty database; called once for each test
 * @throws Error when a deviation names no case, a safety case, or no reason
 */
export function storeContract(test: RegisterTest, open: OpenDatabase, options: StoreContractOptions = {}): void {
  const { deviations = {}, runs = runsByDefault, seed } = options
  checkDeviations(deviations, cases)
  const settings: Settings = { runs, seed }
  for (const each of cases)
    registerCase(test, { name: each.name, reason: deviations[each.name] }, async () => runCase(each, open, settings))
}
