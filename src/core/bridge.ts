/** How long a transaction may take. */
export interface TransactionBounds {
  /** Until its work has ended; then it is rolled back. Milliseconds. */
  readonly transactionMs: number
}

/**
 * An adapter from the application's own database library to a transaction that a store can join.
 * @template Tx what the library hands to the body of a transaction
 */
export interface Bridge<Tx> {
  /** The library's name, for errors. */
  readonly name: string
  /**
   * Runs `work` in one transaction: committed when it resolves, rolled back when it rejects, with its error. What it is handed fails once
   * the transaction has ended.
   */
  transaction<Value>(work: (tx: Tx) => Promise<Value>, bounds: TransactionBounds): Promise<Value>
  /** Runs one statement inside the transaction, with positional parameters; returns its rows by the names of their columns. */
  query(tx: Tx, sql: string, parameters: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]>
}
