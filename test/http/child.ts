import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { once as eventOf } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { subjectOf, type Subject } from '../../src/testing/http/subject.ts'

const program = new URL('../fixture/server.ts', import.meta.url).pathname

const running = new Set<ChildProcess>()

/** A fixture in a process of its own. */
export interface Child extends Subject {
  readonly process: ChildProcess
  /** Sends the signal and resolves with the exit code, or the signal that it died of. */
  readonly end: (signal?: NodeJS.Signals) => Promise<number | string | null>
}

/** Starts `node test/fixture/server.ts` and waits until it accepts connections. */
export async function startChild(args: readonly string[]): Promise<Child> {
  const child = run(args)
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString()))
    child.once('exit', (code) => reject(new Error(`the fixture ended with ${code}`)))
  })
  const url = /^listening (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(line)?.[1]
  if (url === undefined) throw new Error(`the fixture said ${line}`)
  return { ...subjectOf(url), process: child, end: (signal) => endOf(child, signal) }
}

/** Runs it to its end, for command lines that it refuses. */
export async function refusal(
  args: readonly string[],
): Promise<{ code: number | string | null; stderr: string; stdout: string }> {
  const child = run(args)
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk) => (output.stdout += String(chunk)))
  child.stderr?.on('data', (chunk) => (output.stderr += String(chunk)))
  const [code] = (await eventOf(child, 'close')) as [number | null]
  return { code, ...output }
}

/** A fresh directory's file. */
export function freshPath(name: string): string {
  return join(mkdtempSync(join(tmpdir(), 'onceward-')), name)
}

/** Ends whatever still runs: a test that fails leaves its children, and they would keep the test's process. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

function run(args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

async function endOf(child: ChildProcess, signal: NodeJS.Signals | undefined): Promise<number | string | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode
  const exit = eventOf(child, 'exit')
  if (signal !== undefined) child.kill(signal)
  const [code, died] = (await exit) as [number | null, string | null]
  return code ?? died
}
