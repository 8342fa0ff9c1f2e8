import type { Sending } from './client-behaviours.ts'

/** Where the fixture has what is to be sent: what takes time is another route than what does not. */
export function target({ url, handlerMs }: Pick<Sending, 'url' | 'handlerMs'>): string {
  return handlerMs === 0 ? `${url}/echo` : `${url}/slow?ms=${handlerMs}`
}

/** The value that is sent. */
export const charge = { amount: 1299, currency: 'EUR' }

/** The POST, for clients that take it as fetch does. */
export function message({ key }: Pick<Sending, 'key'>): { method: 'POST'; headers: Record<string, string>; body: string } {
  const headers = { 'content-type': 'application/json', 'idempotency-key': key }
  return { method: 'POST', headers, body: JSON.stringify(charge) }
}
