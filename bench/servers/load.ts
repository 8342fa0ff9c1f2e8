// Sends requests to a server of this machine, when asked to, and says how they were answered.
import autocannon from 'autocannon'
import { quantile } from '../measure.ts'
import { callers, input, keyOf } from '../work.ts'
import { answerParent } from './answer.ts'

/** Which requests are sent. */
export interface Load {
  readonly port: number
  /** Of the keys: each request of a series has a key of its own, and the same series again has the same keys. */
  readonly series: number
  readonly requests: number
}

/** How a load was answered. */
export interface Answered {
  readonly wallMs: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** CPU of this process: were it as much as the wall's time, the client would be what is measured. Microseconds. */
  readonly clientCpuUs: number
}

/** One answer, as it came. */
export interface Look {
  readonly status: number
  readonly body: string
  readonly replayed: string | null
}

const headers = { 'content-type': 'application/json', 'x-account': 'acme' }

const api = {
  /** One request with this key. */
  async look({ port, key }: { port: number; key: string }): Promise<Look> {
    const request = { method: 'POST', headers: { ...headers, 'idempotency-key': key }, body: JSON.stringify(input) }
    const response = await fetch(`http://127.0.0.1:${port}/charges`, request)
    return { status: response.status, body: await response.text(), replayed: response.headers.get('idempotent-replayed') }
  },
  /** A load, to its end. */
  async send(load: Load): Promise<Answered> {
    const cpu = process.cpuUsage()
    const { wallMs, latenciesMs } = await answers(load)
    const { user, system } = process.cpuUsage(cpu)
    return { wallMs, p50: quantile(latenciesMs, 0.5), p99: quantile(latenciesMs, 0.99), clientCpuUs: user + system }
  },
}

/** What this process can be asked. */
export type LoadApi = typeof api

answerParent(api, () => {})

/** Sends every request of the load, each connection one at a time. Fails should one of them not be answered with 2xx. */
async function answers({ port, series, requests }: Load): Promise<{ wallMs: number; latenciesMs: number[] }> {
  const latenciesMs: number[] = []
  const startedAt = performance.now()
  let endedAt = startedAt
  let sent = 0
  const setupRequest = (request: autocannon.Request): autocannon.Request => {
    const key = keyOf(series, sent)
    sent += 1
    return { ...request, headers: { ...request.headers, 'idempotency-key': key } }
  }
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const options: autocannon.Options = {
      url: `http://127.0.0.1:${port}/charges`,
      connections: callers,
      amount: requests,
      // How often the client looks whether all connections have ended.
      sampleInt: 20,
      method: 'POST',
      headers,
      body: JSON.stringify(input),
      requests: [{ setupRequest }],
    }
    const sending = autocannon(options, (error: Error | null, found) => (error ? reject(error) : resolve(found)))
    sending.on('response', (_client, _status, _bytes, latencyMs) => {
      latenciesMs.push(latencyMs)
      endedAt = performance.now()
    })
  })
  const answered = result['2xx']
  if (result.errors + result.timeouts + result.non2xx > 0 || answered !== requests || sent !== requests)
    throw new Error(`of ${requests} requests ${sent} were sent and ${answered} answered with 2xx: ${JSON.stringify(result)}`)
  return { wallMs: endedAt - startedAt, latenciesMs }
}
