// What `onceward/testing` exports: the suites that any third-party store or door can run.
export { httpContract } from './http-contract.ts'
export { storeContract } from './store-contract.ts'
export type { HttpContractOptions } from './http-contract.ts'
export type { RegisterTest } from './deviations.ts'
export type { StartedFixture, StartFixture } from './http/subject.ts'
export type {
  ContractDatabase,
  DatabaseContext,
  Impossible,
  OpenDatabase,
  RefusedData,
  StoreContractOptions,
} from './store/database.ts'
