import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** How a server's process is started, as often as is asked for. */
export interface ServerProgram {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  /** Answers when the server does; rejects while it does not yet. */
  readonly ready: () => Promise<void>
  /** The user it runs as, where it refuses root. @default the present one */
  readonly uid?: number
  readonly gid?: number
}

/** Longest start of a server, a recovery included. Milliseconds. */
const startMs = 30_000

/** Those that run: none outlives the process that started it. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** One private server, started from a program on this machine and stopped by its pid. */
export class ServerProcess {
  readonly #program: ServerProgram
  #child: ChildProcess | undefined
  #log = ''

  constructor(program: ServerProgram) {
    this.#program = program
  }

  /** What the server said last, for the error of a test. */
  get log(): string {
    return this.#log
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    const { name, file, args, ready, uid, gid } = this.#program
    const user = uid === undefined ? {} : { uid, gid }
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...user })
    this.#child = child
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.#log = (this.#log + chunk.toString('utf8')).slice(-8_192)
      })
    running.add(child)
    child.once('exit', () => running.delete(child))
    const deadline = performance.now() + startMs
    while (!(await answers(ready))) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
        child.kill('SIGKILL')
        throw new Error(`${name} did not start:\n${this.#log}`)
      }
      await pause(50)
    }
  }

  /** Ends it at once, as a crash does. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** Ends it as its operator would. @param signal the one it takes for that */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    return this.#end(signal)
  }

  /** Stops its time; `resume` lets it go on. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    child.kill('SIGCONT')
    await ended
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address')
  return address.port
}

/** The first of these programs that there is, in `PATH` or the directories given; undefined when there is none. */
export async function programPath(names: readonly string[], directories: readonly string[] = []): Promise<string | undefined> {
  const places = [...directories, ...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  for (const name of names)
    for (const place of places) {
      const file = join(place, name)
      if (await isProgram(file)) return file
    }
  return undefined
}

async function isProgram(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function answers(ready: () => Promise<void>): Promise<boolean> {
  try {
    await ready()
    return true
  } catch {
    return false
  }
}
