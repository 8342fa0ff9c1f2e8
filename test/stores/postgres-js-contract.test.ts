import { describe, test } from 'node:test'
import postgresJs from 'postgres'
import { storeContract } from 'onceward/testing'
import { serverFor, tableFor, type Connected } from './postgres-support.ts'

const { server, skip } = await serverFor()
const url = (await server?.database()) ?? ''

/** It renames the columns it gives, as applications have it do. */
function sql(): Connected {
  const client = postgresJs(url, { max: 4, onnotice: () => {}, transform: postgresJs.camel })
  return { client, end: async () => client.end() }
}

describe('on postgres.js', { skip }, () => {
  storeContract(test, tableFor(sql), { runs: 10 })
})

describe('on postgres.js without named statements', { skip }, () => {
  storeContract(test, tableFor(sql, { prepare: false }), { runs: 10 })
})
