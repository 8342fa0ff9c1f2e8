import { systemPlatform } from '../src/platform.ts'
import { requestFingerprint, type RequestInput } from '../src/http/request-fingerprint.ts'
import { cpuPerOperation, sampled, type Rounds } from './measure.ts'

const order = {
  items: Array.from({ length: 13 }, (_, index) => ({
    sku: `sku-${1000 + index}`,
    quantity: 1 + index,
    price: 12.99,
    gift: false,
  })),
  customer: { id: 'cus_4711', name: 'Ada Lovelace', email: 'ada@example.com', address: { city: 'London', line: 'St James 12' } },
  note: 'to the door',
}
const body = Buffer.from(JSON.stringify(order).padEnd(1024))
if (body.length !== 1024) throw new Error(`1 KiB of JSON is meant, not ${body.length} bytes`)

/** Microseconds of CPU that the fingerprint of a request with 1 KiB of JSON takes, by rounds. */
export async function fingerprintCpu({ warmUp, measured }: Rounds, operations: number): Promise<readonly number[]> {
  check()
  const rounds: number[] = []
  for (let round = 0; round < warmUp + measured; round += 1) {
    const sample = await sampled(operations, async () => {
      for (let index = 0; index < operations; index += 1) fingerprintOf(body)
    })
    if (round >= warmUp) rounds.push(cpuPerOperation(sample))
  }
  return rounds
}

/** It must be the meaning that is compared, not the bytes. */
function check(): void {
  const { note, customer, items } = order
  const same = Buffer.from(JSON.stringify({ note, items, customer }))
  const other = Buffer.from(JSON.stringify({ note: `${note}!`, items, customer }))
  if (fingerprintOf(same) !== fingerprintOf(body) || fingerprintOf(other) === fingerprintOf(body))
    throw new Error('the fingerprint is not that of the meaning')
}

function fingerprintOf(bytes: Uint8Array): string {
  const input: RequestInput = {
    method: 'POST',
    path: '/charges',
    query: '',
    contentType: 'application/json',
    contentEncoding: '',
    body: bytes,
  }
  return requestFingerprint(input, ['query', 'mediaType', 'body'], systemPlatform.sha256)
}
