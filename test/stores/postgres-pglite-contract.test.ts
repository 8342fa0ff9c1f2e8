import { describe, test } from 'node:test'
import { PGlite } from '@electric-sql/pglite'
import { storeContract } from 'onceward/testing'
import { tableFor } from './postgres-support.ts'

const client = new PGlite()

describe('on PGlite', () => {
  storeContract(
    test,
    tableFor(() => ({ client, end: async () => {} })),
    { runs: 10 },
  )
})
