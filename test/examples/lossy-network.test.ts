import assert from 'node:assert/strict'
import { test } from 'node:test'
import express from 'express'
import { LossyNetwork } from '../../examples/payments/lossy-network.ts'
import type { Traffic } from '../../examples/payments/lossy-network.ts'
import { listen } from '../../examples/payments/server.ts'

interface Heard {
  /** One a request, in order: was there an answer? */
  readonly answers: readonly boolean[]
  readonly traffic: Traffic
  /** Requests that the server counted. */
  readonly served: number
}

/** Sends requests over as many lines; each is given up when nothing is under way any more, so that no fate is a matter of speed. */
async function hear(seed: number, requests: number): Promise<Heard> {
  let served = 0
  const app = express().post('/', (_request, response) => {
    served += 1
    response.sendStatus(204)
  })
  const server = await listen(app, 0)
  const network = new LossyNetwork(seed)
  const calls = Array.from({ length: requests }, (_, line) => {
    const patience = new AbortController()
    const sent = network.line(line)({ url: `${server.origin}/`, headers: {}, body: '' }, patience.signal)
    return { patience, answered: sent.then(yes, no) }
  })
  await network.settled()
  for (const { patience } of calls) patience.abort()
  const answers = await Promise.all(calls.map(({ answered }) => answered))
  await server.close()
  return { answers, traffic: network.traffic, served }
}

function yes(): boolean {
  return true
}

function no(): boolean {
  return false
}

test('the same seed meets the same faults, another seed meets others', async () => {
  const [first, same, other] = await Promise.all([hear(1, 60), hear(1, 60), hear(2, 60)])
  assert.deepEqual(same, first)
  assert.notDeepEqual(other.answers, first.answers)
})

test('the network loses, doubles and delays in both directions, and its counts are those of the server', async () => {
  const { answers, traffic, served } = await hear(3, 200)
  assert.equal(served, traffic.reached)
  assert.equal(traffic.sent, 200)
  assert.equal(traffic.reached, traffic.sent - traffic.requestsLost + traffic.doubled)
  assert.equal(answers.filter((answered) => !answered).length, traffic.requestsLost + traffic.answersLost)
  for (const count of Object.values(traffic)) assert.ok(count > 0)
})
