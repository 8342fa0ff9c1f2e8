/** Every limit of the library: a number, its unit in the name, and the reason. Tests stand at each and one past it. */
export interface Limits {
  /** A key: the draft leaves it open; providers allow 64 (Adyen) to 255 (Stripe). UTF-16 units. */
  readonly keyLengthMax: number
  /** A scope: a tenant or account id, or a digest of one. UTF-16 units. */
  readonly scopeLengthMax: number
  /** A name: method and path, and paths are long. UTF-16 units. */
  readonly nameLengthMax: number
  /** Request bytes held in memory to be fingerprinted: what body parsers accept at most by default, with room. */
  readonly requestBytesMax: number
  /** Depth of a JSON input that is compared as JSON; a deeper text counts as bytes. Keeps recursion off the end of the stack. */
  readonly jsonDepthMax: number
  /** Bytes of one outcome that a store keeps, meta and body together. A larger one is completed as not kept. */
  readonly outcomeBytesMax: number
  /** Bytes of one answer held in memory until it is settled; a larger one flows and only its end waits. */
  readonly heldBytesMax: number
  /** Steps kept for one operation. */
  readonly stepsMax: number
  /** Longest name of a step. UTF-16 units. */
  readonly stepNameLengthMax: number
  /** Bytes of one step's result. */
  readonly stepBytesMax: number
  /** Attempts of one operation before it is held. */
  readonly attemptsMax: number
  /** Calls that wait in one process for an operation that is running; beyond them a duplicate is busy at once. */
  readonly waitersMax: number
  /** Of these, calls that wait for one and the same operation. */
  readonly waitersPerOperationMax: number
  /** Claims or settlements in one call to a store: a larger batch no longer amortises a commit, it only delays it. */
  readonly batchMax: number
  /**
   * Batches of one lane on their way to a store at a time: with one, whoever comes just behind a batch waits for two. Each takes a
   * connection of the application's pool; more than two were measured to gain little.
   */
  readonly batchesInFlightMax: number
  /**
   * Claims or settlements that go in one batch although two may go: beyond them half goes in each, so that process and store work at the same
   * time. Half as many were measured to cost more in calls than that gains.
   */
  readonly batchUnsharedMax: number
  /** Claims or settlements queued in one process before a call is refused as if the store were away. */
  readonly queueMax: number
  /** How long an attempt owns its operation without renewing: what a crash costs a retry at most. Milliseconds. */
  readonly leaseMs: number
  /** Part of the lease after which it is renewed: one renewal that is never answered does not cost the lease. */
  readonly renewalsPerLease: number
  /** How long a handler may run: beyond it the lease is no longer renewed and its caller gets an error. Milliseconds. */
  readonly attemptMs: number
  /** How long a duplicate waits for a running operation. Milliseconds. */
  readonly waitMs: number
  /** How long an outcome is kept, counted from completion. Milliseconds. */
  readonly ttlMs: number
  /** The longest ttl, lease, wait or tombstone that is accepted: ten years catches a unit mistaken. Milliseconds. */
  readonly durationMsMax: number
  /** How long one store call may take before its answer counts as unknown. Milliseconds. */
  readonly storeTimeoutMs: number
  /** How long an unanswered claim is asked again before its caller is refused. Milliseconds. */
  readonly claimRetryMs: number
  /** How long a caller waits for its settlement to be accepted before it gets the handler's answer. Milliseconds. */
  readonly settleAnswerMs: number
  /** How long a settlement goes on being tried behind an answered caller. Milliseconds. */
  readonly settleMs: number
  /** How long `close` waits for what is still being tried: less than what a platform gives a process to end. Milliseconds. */
  readonly drainMs: number
  /** Settlements and releases still being tried behind answered callers, at the most. */
  readonly unsettledMax: number
  /** First and longest pause between two tries of one store call, doubled in between, with jitter. Milliseconds. */
  readonly retryMs: number
  /** See `retryMs`. Milliseconds. */
  readonly retryMsMax: number
  /** First and longest pause between two looks at an operation that runs elsewhere. Milliseconds. */
  readonly pollMs: number
  /** See `pollMs`. Milliseconds. */
  readonly pollMsMax: number
  /** What a busy caller is told to wait before it asks again. Milliseconds. */
  readonly retryAfterMs: number
  /** Expired records removed in one go. */
  readonly sweepBatch: number
  /** Pause between two sweeps. Milliseconds. */
  readonly sweepMs: number
  /** Pause after a sweep that found as much as it may remove: short, so that sweeping keeps up with 10,000 records a second. Milliseconds. */
  readonly sweepFullMs: number
  /** How long a reservation stands without a commit. Milliseconds. */
  readonly holdMs: number
  /** How long the work of a transaction may take: well below the lease, since on SQLite everybody's renewals wait behind it. Milliseconds. */
  readonly transactionMs: number
  /** Transactions in a row that one call makes, where the database rolls them back or does not answer. */
  readonly transactionTriesMax: number
  /** Records in one page of a list. */
  readonly pageMax: number
  /** Records the memory store keeps; a claim beyond them is refused. */
  readonly memoryRecordsMax: number
  /** Bytes of outcomes the memory store keeps; an outcome beyond them is completed as not kept. */
  readonly memoryBytesMax: number
}

/** The numbers in force where an option does not say otherwise. */
export const limits: Limits = {
  keyLengthMax: 255,
  scopeLengthMax: 255,
  nameLengthMax: 1024,
  requestBytesMax: 1_048_576,
  jsonDepthMax: 64,
  outcomeBytesMax: 1_048_576,
  heldBytesMax: 65_536,
  stepsMax: 100,
  stepNameLengthMax: 255,
  stepBytesMax: 65_536,
  attemptsMax: 10,
  waitersMax: 10_000,
  waitersPerOperationMax: 1_000,
  batchMax: 128,
  batchesInFlightMax: 2,
  batchUnsharedMax: 16,
  queueMax: 10_000,
  leaseMs: 10_000,
  renewalsPerLease: 3,
  attemptMs: 600_000,
  waitMs: 10_000,
  ttlMs: 86_400_000,
  durationMsMax: 315_360_000_000,
  storeTimeoutMs: 5_000,
  claimRetryMs: 1_000,
  settleAnswerMs: 5_000,
  settleMs: 300_000,
  drainMs: 10_000,
  unsettledMax: 1_000,
  retryMs: 10,
  retryMsMax: 1_000,
  pollMs: 5,
  pollMsMax: 25,
  retryAfterMs: 1_000,
  sweepBatch: 200,
  sweepMs: 1_000,
  sweepFullMs: 20,
  holdMs: 900_000,
  transactionMs: 3_000,
  transactionTriesMax: 10,
  pageMax: 1_000,
  memoryRecordsMax: 100_000,
  memoryBytesMax: 67_108_864,
}
