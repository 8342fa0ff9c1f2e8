import { DatabaseSync } from 'node:sqlite'

/** What a caller asks for. `amount` is in the currency's smallest unit: cents for EUR. */
export interface ChargeRequest {
  readonly customer: string
  readonly amount: number
  readonly currency: string
}

/** One charge in the books. */
export interface Charge extends ChargeRequest {
  readonly id: number
}

/** What the books say: how many charges, the sum of each currency in its smallest unit, and the latest charges, newest first. */
export interface Statement {
  readonly count: number
  readonly sums: Readonly<Record<string, number>>
  readonly latest: readonly Charge[]
}

/** The application's own table of charges. */
export interface Charges {
  add(request: ChargeRequest): Charge
  /** Of one customer, or of all. */
  statement(customer: string | undefined): Statement
  close(): void
}

/**
 * Not `synchronous = FULL`, which real books need: the demo spares itself one disk sync a charge to end soon. A charge survives
 * the death of the process, but perhaps not a power cut, which Onceward's own record does survive.
 */
const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS charges (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS charges_of_customer ON charges (customer)`
const INSERT = 'INSERT INTO charges (customer, amount, currency) VALUES (?, ?, ?)'
const SUMS = `
  SELECT currency, count(*) AS count, sum(amount) AS amount FROM charges
  WHERE customer = :customer OR :customer IS NULL GROUP BY currency`
const LATEST = `
  SELECT id, customer, amount, currency FROM charges
  WHERE customer = :customer OR :customer IS NULL ORDER BY id DESC LIMIT 20`

/** Opens the table in the SQLite file at `path`, made if it is not there. */
export function openCharges(path: string): Charges {
  // A second server on the same file may be writing: wait for it rather than fail.
  const database = new DatabaseSync(path, { timeout: 5_000 })
  database.exec(SCHEMA)
  const insert = database.prepare(INSERT)
  const sums = database.prepare(SUMS)
  const latest = database.prepare(LATEST)
  return {
    add({ customer, amount, currency }) {
      const { lastInsertRowid } = insert.run(customer, amount, currency)
      return { id: Number(lastInsertRowid), customer, amount, currency }
    },
    statement(customer) {
      const parameters = { customer: customer ?? null }
      const rows = sums.all(parameters)
      return {
        count: rows.reduce((total, row) => total + Number(row['count']), 0),
        sums: Object.fromEntries(rows.map((row) => [String(row['currency']), Number(row['amount'])])),
        latest: latest.all(parameters).map(chargeOf),
      }
    },
    close: () => database.close(),
  }
}

function chargeOf(row: Readonly<Record<string, unknown>>): Charge {
  return {
    id: Number(row['id']),
    customer: String(row['customer']),
    amount: Number(row['amount']),
    currency: String(row['currency']),
  }
}
