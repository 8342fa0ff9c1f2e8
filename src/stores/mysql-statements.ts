/**
 * First attempts: a statement that commits by itself, and either inserts all of them or none. The primary key decides between any
 * number of processes. That of a lone claim is all a claim needs where the key is new.
 */
export const INSERT_RECORDS = `
INSERT INTO \`onceward\` (id, revision, scope, name, \`key\`, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at,
  state, attempt, owner, lease_until, expires_at, steps, step_results, sweep_at)
VALUES ?`
/** One of these attempts. `NOW_MS` is the server's clock: see `mysql-connection.ts`. */
export const INSERTED_ROW = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NOW_MS, ?, 1, ?, NOW_MS + ?, NOW_MS + ?, 0, x'', NOW_MS + ?)`

/** The same for a claim that is alone. */
export const INSERT_RECORD: string = INSERT_RECORDS.replace('?', INSERTED_ROW)

/**
 * The commonest line of the settlement table: running, not expired, under this very fence, and without steps that would have to go.
 * There the table says completed, with these times. The rows of which the condition fails stay as they are, and the table itself
 * decides. `sweep_at` was set by the claim, no later than this, and so is early enough.
 */
export const COMPLETE_RECORDS = `
UPDATE \`onceward\` FORCE INDEX (PRIMARY)
SET state = ?, lease_until = NOW_MS, ended_at = NOW_MS, expires_at = NOW_MS + ttl_ms + remember_ms, revision = ?,
  kept = ELT(FIELD(id, ?), ?), meta = ELT(FIELD(id, ?), ?), \`body\` = ELT(FIELD(id, ?), ?)
WHERE id IN (?) AND (id, attempt, owner) IN (?) AND state = ? AND steps = 0 AND (expires_at IS NULL OR expires_at > NOW_MS)`

/** The same for a completion that is alone. */
export const COMPLETE_RECORD = `
UPDATE \`onceward\`
SET state = ?, lease_until = NOW_MS, ended_at = NOW_MS, expires_at = NOW_MS + ttl_ms + remember_ms, revision = ?,
  kept = ?, meta = ?, \`body\` = ?
WHERE id = ? AND attempt = ? AND owner = ? AND state = ? AND steps = 0 AND (expires_at IS NULL OR expires_at > NOW_MS)`

/** The same for a renewal: the record expires a ttl after its lease, or never if it is held by then. */
export const RENEW_RECORDS = `
UPDATE \`onceward\` FORCE INDEX (PRIMARY)
SET lease_until = NOW_MS + ?, revision = ?,
  expires_at = CASE WHEN (holds & 4) <> 0 OR attempt >= attempts_max THEN NULL ELSE NOW_MS + ? + ttl_ms END
WHERE id IN (?) AND (id, attempt, owner) IN (?) AND state = ? AND (expires_at IS NULL OR expires_at > NOW_MS)`

/** One of the fences of a completion or renewal. */
export const FENCE_ROW = `(?, ?, ?)`

/** Committed records, without waiting for anybody's lock. The limit stands against a session's `sql_select_limit`. */
export const SELECT_RECORDS = `
SELECT id, revision, scope, name, \`key\`, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner,
  lease_until, cause, ended_at, expires_at, steps, step_results, kept, meta, IF(kept IS NULL, NULL, IF(?, \`body\`, x'')) AS \`body\`, actor, reason,
  NOW_MS AS now
FROM \`onceward\` WHERE id IN (?) LIMIT ?`

/** Where a slice of a listing ends, so that no statement looks at more rows than that, however few are meant. */
export const SLICE_END = `
SELECT MAX(id) AS id, COUNT(*) AS looked
FROM (SELECT id FROM \`onceward\` WHERE id > ? ORDER BY id LIMIT ?) AS slice`

/** The records of a slice that have these words and this age, as above, but without what may be large. */
export const SELECT_SLICE = `
SELECT id, revision, scope, name, \`key\`, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner,
  lease_until, cause, ended_at, expires_at, 0 AS steps, kept, IF(kept IS NULL, NULL, x'') AS meta, IF(kept IS NULL, NULL, x'') AS \`body\`,
  NULL AS actor, NULL AS reason, NOW_MS AS now
FROM \`onceward\`
WHERE id > ? AND id <= ? AND (? IS NULL OR scope = ?) AND (? IS NULL OR name = ?)
  AND (? IS NULL OR LEFT(\`key\`, ?) = ?) AND (? IS NULL OR created_at <= NOW_MS - ?)
ORDER BY id LIMIT ?`

/** As above, records that may have expired; their own times tell. */
export const SELECT_DUE = `
SELECT id, revision, scope, name, \`key\`, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at, state, attempt, owner,
  lease_until, cause, ended_at, expires_at, 0 AS steps, kept, IF(kept IS NULL, NULL, x'') AS meta, IF(kept IS NULL, NULL, x'') AS \`body\`,
  NULL AS actor, NULL AS reason, NOW_MS AS now
FROM \`onceward\` WHERE sweep_at <= NOW_MS ORDER BY sweep_at LIMIT ?`

/** Which of these rows nobody has locked. */
export const SELECT_UNLOCKED = `SELECT id FROM \`onceward\` FORCE INDEX (PRIMARY) WHERE id IN (?) ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED`

/** Shows rows that an open transaction has inserted, and that no other query shows. */
export const DIRTY_READ = `SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED`
/** The statement after that. */
export const SELECT_IDS = `SELECT id FROM \`onceward\` WHERE id IN (?) LIMIT ?`

/** Which of these rows a statement of this process has just written. */
export const SELECT_REVISION = `SELECT id FROM \`onceward\` WHERE id IN (?) AND revision = ? LIMIT ?`

/**
 * Writes decisions, each onto the revision on which it was taken, and only while the clock that it was taken by is not long past.
 * The derived table is read first and in its order, that of the identities, and the records by their key, even where there are so few that
 * a scan would be cheaper: no other row is looked at or locked.
 */
export const UPDATE_RECORDS = `
UPDATE (?) AS d STRAIGHT_JOIN \`onceward\` AS r FORCE INDEX (PRIMARY) ON r.id = d.id
SET r.revision = ?, r.fingerprint = d.fingerprint, r.generation = d.generation, r.ttl_ms = d.ttl_ms, r.remember_ms = d.remember_ms, r.holds = d.holds,
  r.attempts_max = d.attempts_max, r.created_at = d.created_at, r.state = d.state, r.attempt = d.attempt, r.owner = d.owner,
  r.lease_until = d.lease_until, r.cause = d.cause, r.ended_at = d.ended_at, r.expires_at = d.expires_at, r.steps = d.steps,
  r.step_results = CONCAT(IF(d.begun = 1, x'', r.step_results), d.added), r.kept = d.kept, r.meta = d.meta, r.\`body\` = d.\`body\`,
  r.actor = d.actor, r.reason = d.reason, r.sweep_at = d.sweep_at
WHERE r.revision = d.revision AND NOW_MS <= ?`
/** One of the decisions. */
export const UPDATED_ROW = `
SELECT ? AS id, ? AS revision, ? AS fingerprint, ? AS generation, ? AS ttl_ms, ? AS remember_ms, ? AS holds, ? AS attempts_max, ? AS created_at, ? AS state,
  ? AS attempt, ? AS owner, ? AS lease_until, ? AS cause, ? AS ended_at, ? AS expires_at, ? AS steps, ? AS begun, ? AS added,
  ? AS kept, ? AS meta, ? AS \`body\`, ? AS actor, ? AS reason, ? AS sweep_at`

/** Removes records that are as they were found; `MAKE_TOMBSTONES` and `SWEEP_LATER` change them. */
export const DELETE_RECORDS = `
DELETE r FROM (?) AS d STRAIGHT_JOIN \`onceward\` AS r FORCE INDEX (PRIMARY) ON r.id = d.id WHERE r.revision = d.revision`
/** Takes the outcomes of operations that are only remembered. */
export const MAKE_TOMBSTONES = `
UPDATE (?) AS d STRAIGHT_JOIN \`onceward\` AS r FORCE INDEX (PRIMARY) ON r.id = d.id
SET r.state = ?, r.kept = NULL, r.meta = NULL, r.\`body\` = NULL, r.sweep_at = r.expires_at, r.revision = ?
WHERE r.revision = d.revision`
/** Puts off when the sweeper looks again. */
export const SWEEP_LATER = `
UPDATE (?) AS d STRAIGHT_JOIN \`onceward\` AS r FORCE INDEX (PRIMARY) ON r.id = d.id SET r.sweep_at = d.sweep_at, r.revision = ? WHERE r.revision = d.revision`
/** A record, as it was found, and when it is to be swept. */
export const REVISION_ROW = `SELECT ? AS id, ? AS revision, ? AS sweep_at`
