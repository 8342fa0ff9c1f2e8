import { describe, test } from 'node:test'
import { storeContract } from 'onceward/testing'
import { connectedPool, serverFor, tableFor } from './postgres-support.ts'

const { server, skip } = await serverFor()
const url = (await server?.database()) ?? ''

describe('on pg', { skip }, () => {
  storeContract(
    test,
    tableFor(() => connectedPool(url)),
  )
})

describe('on pg without named statements', { skip }, () => {
  storeContract(
    test,
    tableFor(() => connectedPool(url), { prepare: false }),
    { runs: 10 },
  )
})
