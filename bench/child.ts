import { fork, type ChildProcess } from 'node:child_process'
import { once as eventOf } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a child can be asked, by name; arguments and answers are JSON. */
export type Api = { readonly [name: string]: (argument: never) => unknown }

/** A question and its answer on the way between the processes. */
export interface Question {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}
export type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string }

/** A process of its own, so that what is measured is told apart from what measures. */
export class Child<Asked extends Api> {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #asked = 0

  /** Starts `bench/servers/<name>.ts` with these arguments. */
  constructor(name: string, ...args: readonly string[]) {
    const file = fileURLToPath(new URL(`servers/${name}.ts`, import.meta.url))
    this.#process = fork(file, args, { execArgv: [...process.execArgv, ...profiling(`${name}-${process.pid}-${args[0] ?? ''}`)] })
    this.#process.on('message', (answer: Answer) => this.#answered(answer))
    this.#process.on('exit', (code) => this.#ended(new Error(`bench/servers/${name}.ts ended with code ${code}`)))
  }

  /** Asks the child, and waits for its answer. */
  ask<Name extends keyof Asked & string>(
    name: Name,
    ...[argument]: Parameters<Asked[Name]>
  ): Promise<Awaited<ReturnType<Asked[Name]>>> {
    this.#asked += 1
    const question: Question = { id: this.#asked, name, argument }
    return new Promise((resolve, reject) => {
      // The child answers what its type says: both are of one commit.
      this.#waiting.set(question.id, { resolve: resolve as (value: unknown) => void, reject })
      this.#process.send(question)
    })
  }

  /** Lets the child end by itself, so that its profile is written, and waits until it has. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const end = eventOf(this.#process, 'exit')
    this.#process.disconnect()
    await end
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('error' in answer) waiting?.reject(new Error(answer.error))
    else waiting?.resolve(answer.value)
  }

  #ended(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

/** `BENCH_PROFILES=directory npm run bench express` leaves a CPU profile of each child there, for Chrome's or VS Code's viewer. */
function profiling(label: string): string[] {
  const directory = process.env['BENCH_PROFILES']
  if (directory === undefined || directory === '') return []
  return ['--cpu-prof', `--cpu-prof-dir=${directory}`, `--cpu-prof-name=${label.replaceAll(/[^a-z0-9-]/gi, '')}.cpuprofile`]
}
