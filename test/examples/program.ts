import { spawn } from 'node:child_process'
import { once as eventOf } from 'node:events'

/** A program of the examples, started as a user starts it. */
export interface Program {
  /** All that it has written to stdout and stderr so far. */
  readonly stdout: () => string
  readonly stderr: () => string
  /** Resolves with the match once stdout has it; rejects when the program has ended without. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
  /** Sends the signal, if any, and resolves with the exit code. */
  ended(signal?: NodeJS.Signals): Promise<number | null>
}

/** Starts `examples/<file>` from the source, without a build. */
export function start(file: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Program {
  return startCommand(process.execPath, ['--conditions=onceward-source', `examples/${file}`, ...args], env)
}

/** Starts npm. It has ended when all that it started has closed its output. */
export function startNpm(args: readonly string[], env: NodeJS.ProcessEnv): Program {
  return startCommand('npm', args, env)
}

function startCommand(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Program {
  const child = spawn(command, args, {
    cwd: new URL('../..', import.meta.url),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const exit = eventOf(child, 'close').then(() => child.exitCode)
  return {
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(output.stdout)
          if (match) resolve(match)
        }
        look()
        child.stdout.on('data', look)
        void exit.then((code) => reject(new Error(`ended with ${code} before ${pattern}:\n${output.stdout}\n${output.stderr}`)))
      }),
    async ended(signal) {
      if (signal) child.kill(signal)
      return exit
    },
  }
}
