import type { Child } from './child.ts'
import type { HttpApi } from './servers/http.ts'
import type { Answered, LoadApi } from './servers/load.ts'
import { keyOf, outcome } from './work.ts'

/** What a series of requests to one server came to. */
export interface HttpSample extends Answered {
  readonly requestsPerSecond: number
  /** Of the server. Microseconds. */
  readonly cpuPerRequest: number
}

/** A server in a process of its own, and the load that it gets from another. */
export class HttpServer {
  readonly #server: Child<HttpApi>
  readonly #load: Child<LoadApi>
  readonly #requests: number

  constructor(server: Child<HttpApi>, load: Child<LoadApi>, requests: number) {
    this.#server = server
    this.#load = load
    this.#requests = requests
  }

  /** Sends a series of requests. Fails unless each was answered with 2xx and the handler ran as often as it should have. */
  async send(series: number, effectsExpected: number = this.#requests): Promise<HttpSample> {
    const port = await this.#server.ask('port')
    const before = await this.#server.ask('use')
    const answered = await this.#load.ask('send', { port, series, requests: this.#requests })
    const after = await this.#server.ask('use')
    const effects = after.effects - before.effects
    if (effects !== effectsExpected) throw new Error(`${effectsExpected} effects are due, and there were ${effects}`)
    return {
      ...answered,
      requestsPerSecond: (this.#requests / answered.wallMs) * 1000,
      cpuPerRequest: (after.cpuUs - before.cpuUs) / this.#requests,
    }
  }

  /** Sends a series that was sent before: the handler must not run. */
  replay(series: number): Promise<HttpSample> {
    return this.send(series, 0)
  }

  /** Looks at one replay more closely than the load does. */
  async checkReplay(series: number): Promise<void> {
    const port = await this.#server.ask('port')
    const answer = await this.#load.ask('look', { port, key: keyOf(series, 0) })
    if (answer.status !== 201 || answer.body !== JSON.stringify(outcome) || answer.replayed !== 'true')
      throw new Error(`this is no replay: ${JSON.stringify(answer)}`)
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }
}
