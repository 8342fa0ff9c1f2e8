// A payments API protected in one line, and a lossy client that tries it out. `npm start`, or with options:
//   PORT=4000 npm start -- --no-demo --seed 7 --data my-directory
import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { onceward } from 'onceward'
import type { Once } from 'onceward'
import { sqlite } from 'onceward/sqlite'
import { paymentsApi } from './api.ts'
import { openCharges } from './charges.ts'
import type { Charges } from './charges.ts'
import { demo } from './demo.ts'
import { listen } from './server.ts'
import type { Listening } from './server.ts'

interface Settings {
  readonly port: number
  readonly withDemo: boolean
  readonly seed: number
  readonly directory: string
}

/** Told to the user in one line, without a stack. */
class StartError extends Error {}

/** An operator's stop, by SIGINT or SIGTERM; the second one is not waited for. */
const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort())
watchNpm()

try {
  await main(settingsOf(process.argv.slice(2), process.env))
} catch (error) {
  if (!(error instanceof StartError)) throw error
  console.error(error.message)
  process.exit(1)
}

async function main(settings: Settings): Promise<void> {
  const { charges, once } = await openData(settings.directory)
  const server = await listenOr(settings.port, () => listen(paymentsApi({ charges, protect: once }), settings.port))
  console.log(`Payments API on ${server.origin}\nData in ${settings.directory}\n`)
  if (settings.withDemo) await demoUnlessStopped(server.origin, settings.seed)
  if (!stopped.signal.aborted) {
    console.log(invitation(server))
    await new Promise((resolve) => stopped.signal.addEventListener('abort', resolve))
  }
  await server.close()
  await once.close()
  charges.close()
  // What the demo left behind, such as a delayed request, is not waited for.
  process.exit(0)
}

/** A signal to npm ends the shell between npm and this process, and does not reach this process: the shell's end is the signal. */
function watchNpm(): void {
  if (process.env['npm_lifecycle_event'] === undefined) return
  const parent = process.ppid
  const look = (): void => {
    if (process.ppid !== parent) stopped.abort()
  }
  setInterval(look, 200).unref()
}

async function demoUnlessStopped(origin: string, seed: number): Promise<void> {
  try {
    await demo(origin, seed, stopped.signal)
  } catch (error) {
    if (!stopped.signal.aborted) throw error
  }
}

async function openData(directory: string): Promise<{ charges: Charges; once: Once }> {
  try {
    if (!existsSync(directory)) mkdirSync(directory)
    const charges = openCharges(join(directory, 'payments.db'))
    const once = onceward({ store: sqlite(join(directory, 'onceward.db')) })
    await once.open()
    return { charges, once }
  } catch (error) {
    throw new StartError(`Cannot use ${directory}: ${messageOf(error)}. Choose another directory: npm start -- --data DIR`)
  }
}

async function listenOr(port: number, start: () => Promise<Listening>): Promise<Listening> {
  try {
    return await start()
  } catch (error) {
    const why = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE' ? 'it is taken' : messageOf(error)
    throw new StartError(
      `Cannot listen on port ${port}: ${why}. Choose another: PORT=${port < 65_535 ? port + 1 : 3000} npm start`,
    )
  }
}

/** Three requests to paste; their key is new at every start, so that the first of them charges. */
function invitation({ port }: Listening): string {
  const key = `try-${randomBytes(3).toString('hex')}`
  const curl = (amount: number): string =>
    `curl -i 127.0.0.1:${port}/charges -H "Idempotency-Key: ${key}" -d "customer=ada&amount=${amount}&currency=EUR"`
  return [
    'Still serving, until Ctrl-C. A charge:',
    curl(1999),
    '',
    'The same again: the same answer, replayed (Idempotent-Replayed: true):',
    curl(1999),
    '',
    'The same key for another amount: refused with 422:',
    curl(2999),
    '',
  ].join('\n')
}

function settingsOf(args: string[], env: NodeJS.ProcessEnv): Settings {
  const { 'no-demo': withoutDemo = false, seed, data = 'payments-data' } = flagsOf(args)
  return {
    port: wholeNumber('PORT', env['PORT'] || '3000', 65_535),
    withDemo: !withoutDemo,
    seed: seed === undefined ? randomInt(2 ** 32) : wholeNumber('--seed', seed, 2 ** 32 - 1),
    directory: data,
  }
}

function flagsOf(args: string[]): { 'no-demo'?: boolean; seed?: string; data?: string } {
  try {
    const options = { 'no-demo': { type: 'boolean' }, seed: { type: 'string' }, data: { type: 'string' } } as const
    return parseArgs({ args, options }).values
  } catch (error) {
    throw new StartError(`${messageOf(error)}. Allowed: --no-demo, --seed NUMBER, --data DIR; the port is PORT=NUMBER`)
  }
}

function wholeNumber(name: string, text: string, max: number): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > max) throw new StartError(`${name} must be a whole number from 0 to ${max}`)
  return Number(text)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replaceAll(/\s+/g, ' ').replace(/\.$/, '') : String(error)
}
