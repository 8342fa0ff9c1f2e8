import { after, describe, test } from 'node:test'
import { pgbouncerMissing, startPgbouncer } from '../../scripts/servers/pgbouncer.ts'
import { storeContract } from 'onceward/testing'
import { connectedPool, serverFor, tableFor } from './postgres-support.ts'

const { server, skip } = await serverFor()
const pooler = server === undefined ? undefined : await startPgbouncer(server)
after(async () => pooler?.stop())
const url = pooler?.url((await server?.database()) ?? '') ?? ''
const missing = pooler === undefined ? pgbouncerMissing : false

describe('on pg through pgbouncer in transaction mode', { skip: skip === false ? missing : skip }, () => {
  storeContract(
    test,
    tableFor(() => connectedPool(url), { listen: false }),
    { runs: 10 },
  )
})
