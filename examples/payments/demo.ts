import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { paymentsApi } from './api.ts'
import { openCharges } from './charges.ts'
import { drawPayments, makePayments } from './client.ts'
import type { Run, RunOptions } from './client.ts'
import { FATES } from './lossy-network.ts'
import { progress, table, verdict } from './report.ts'
import { listen } from './server.ts'

const PAYMENTS = 1_000

/** Makes the same payments through the same lossy network, with Onceward and without it, and prints what each came to. */
export async function demo(origin: string, seed: number, stop: AbortSignal): Promise<void> {
  // Of its own for every run, so that the books of an earlier run on the same file are not counted.
  const customer = `run-${randomBytes(4).toString('hex')}`
  const payments = drawPayments(PAYMENTS, customer, seed)
  console.log(`${PAYMENTS.toLocaleString('en-US')} payments through a network with these faults, seed ${seed}:`)
  console.log(`  ${FATES.map(([fate, share]) => `${fate} ${Math.round(100 * share)} %`).join(', ')}\n`)
  const once = await run('with Onceward', { origin, payments, seed, stop })
  const bare = await withoutOnceward((twin) => run('without it', { origin: twin, payments, seed, stop }))
  console.log(`\n${table(once, bare)}\n\n${verdict(once, bare)}\n`)
}

async function run(label: string, options: Omit<RunOptions, 'onAnswered'>): Promise<Run> {
  const shown = progress(label, options.payments.length)
  try {
    return await makePayments({ ...options, onAnswered: () => shown.step() })
  } finally {
    shown.stop()
  }
}

/** The same API without its one line, on a file that is thrown away. */
async function withoutOnceward(work: (origin: string) => Promise<Run>): Promise<Run> {
  const directory = await mkdtemp(join(tmpdir(), 'payments-'))
  const charges = openCharges(join(directory, 'payments.db'))
  const server = await listen(paymentsApi({ charges, protect: undefined }), 0)
  try {
    return await work(server.origin)
  } finally {
    await server.close()
    charges.close()
    await rm(directory, { recursive: true, force: true })
  }
}
