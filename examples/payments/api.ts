import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import type { Express, Request, Response } from 'express'
import type { Once } from 'onceward'
import { idempotent } from 'onceward/express'
import type { ChargeRequest, Charges } from './charges.ts'

/** What the API is made of: its books and, unless it is to charge twice for a retry, Onceward. */
export interface PaymentsOptions {
  readonly charges: Charges
  readonly protect: Once | undefined
}

/**
 * A payments API: `POST /charges` with `{customer, amount, currency}`, as JSON or as a form, and `GET /charges?customer=…`.
 *
 * The charge and Onceward's record are two commits, in two files. Should the process die between them, the next attempt
 * charges again: what a real API does against that is to hand a key on to its bank, or to keep both in one transaction.
 */
export function paymentsApi({ charges, protect }: PaymentsOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.use(express.json(), express.urlencoded({ extended: false }))

  // The one line.
  if (protect) app.post('/charges', idempotent({ once: protect, scope: callerOf }))

  app.post('/charges', (request, response) => charge(charges, request, response))
  app.get('/charges', (request, response) => {
    const { customer } = request.query
    response.json(charges.statement(typeof customer === 'string' ? customer : undefined))
  })
  return app
}

/** Whose keys they are. A real API takes it from its authentication, which stands before. */
function callerOf(request: Request): string {
  return request.get('authorization') ?? 'anonymous'
}

async function charge(charges: Charges, request: Request, response: Response): Promise<void> {
  const asked = chargeRequestOf(request.body)
  if (!asked) {
    response.status(400).json({ error: 'send customer, amount (cents, a whole number above 0) and currency (such as EUR)' })
    return
  }
  await bank(asked)
  const made = charges.add(asked)
  response.status(201).location(`/charges/${made.id}`).json(made)
}

/** A bank that takes 1 to 5 ms, the same for the same amount. */
async function bank({ amount }: ChargeRequest): Promise<void> {
  await sleep(1 + (amount % 5))
}

function chargeRequestOf(body: unknown): ChargeRequest | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const { customer, amount, currency }: Readonly<Record<string, unknown>> = { ...body }
  const cents = Number(amount)
  if (typeof customer !== 'string' || customer === '' || customer.length > 100) return undefined
  if (!Number.isSafeInteger(cents) || cents <= 0) return undefined
  if (typeof currency !== 'string' || !/^[A-Z]{3}$/.test(currency)) return undefined
  return { customer, amount: cents, currency }
}
