/**
 * An adapter from the application's own database library to a transaction that a store can join.
 * @template Tx what the library hands to the body of a transaction
 */
export interface Bridge<Tx> {
  /** The library's name, for errors. */
  readonly name: string
  /** Runs `work` in one transaction: committed when it resolves, rolled back when it rejects. */
  transaction<Value>(work: (tx: Tx) => Promise<Value>): Promise<Value>
  /** Runs one statement inside the transaction, with positional parameters; returns its rows. */
  query(tx: Tx, sql: string, parameters: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]>
}
