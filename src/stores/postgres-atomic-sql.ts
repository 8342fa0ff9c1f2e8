/**
 * The statements of a transaction that the application's effects are part of. They go through the application's own library: each column
 * has a name of its own, no value is of a type that some library cannot read, and the rows are read by position, since some rename columns.
 */

/**
 * The look, which is also the claim. A row that is there is locked where the transition table can give it to this transaction, and never
 * waited for; the conditions are those of the table. Of a row that nobody sees yet the advisory lock is taken, the same that plain claims
 * take: it is held until this transaction ends, so that none of them is begun. `is_own` says that nobody else can have the operation; where
 * the row was changed since the snapshot it is not.
 * The bounds hold for this transaction alone: the server ends an owner that has stopped breathing.
 */
export const LOOK_IN_TRANSACTION = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), bounds AS MATERIALIZED (
  SELECT set_config('statement_timeout', $5::text, true) AS a,
    set_config('idle_in_transaction_session_timeout', $5::text, true) AS b,
    CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL THEN set_config('transaction_timeout', $5::text, true) END AS c
), found AS MATERIALIZED (
  SELECT o.*, o.xmin::text AS revision FROM "onceward" o WHERE o.id = $2::text::bytea
), locked AS MATERIALIZED (
  SELECT r.xmin::text AS revision FROM "onceward" r
  WHERE r.id = $2::text::bytea AND (r.expires_at <= (SELECT now FROM clock) OR r.state = 'interrupted'
    OR (r.state = 'running' AND (r.lease_until <= (SELECT now FROM clock) OR r.owner = $4::text::bytea)))
  FOR UPDATE OF r SKIP LOCKED
)
SELECT clock.now::float8 AS now, 1 AS place,
  CASE WHEN f.id IS NULL THEN pg_try_advisory_xact_lock($3::text::bigint) ELSE coalesce(l.revision = f.revision, false) END AS is_own,
  f.revision, f.watched, f.id, f.scope, f.name, f.key, f.fingerprint, f.ttl_ms::float8 AS ttl_ms, f.remember_ms::float8 AS remember_ms,
  f.holds, f.attempts_max, f.created_at::float8 AS created_at, f.state, f.attempt, f.owner, f.lease_until::float8 AS lease_until, f.cause,
  f.ended_at::float8 AS ended_at, f.expires_at::float8 AS expires_at, f.kept, f.meta, f.body, f.actor, f.reason,
  CASE WHEN f.steps > 0 THEN (
    SELECT json_agg(json_build_array(encode(s.name, 'hex'), s.kept, encode(s.meta, 'hex'), encode(s.body, 'hex')) ORDER BY s.position)::text
    FROM "onceward_steps" s WHERE s.id = f.id) END AS steps, f.generation, bounds.a, bounds.b, bounds.c
FROM clock CROSS JOIN bounds LEFT JOIN found f ON true LEFT JOIN locked l ON true`

/**
 * A record that comes completed, where the look saw none. Somebody's may have come between the look's snapshot and its lock: then there is
 * no row to answer, and nothing of this transaction may stay.
 */
export const INSERT_COMPLETED = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), added AS (
  INSERT INTO "onceward" (id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at,
    state, attempt, owner, lease_until, ended_at, expires_at, steps, kept, meta, body, watched, sweep_at)
  SELECT $2::text::bytea, $3::text::bytea, $4::text::bytea, $5::text::bytea, $6::text::bytea, $7::text::bigint, $8::text::bigint,
    $9::text::integer, $10::text::integer, $11::text::bigint, 'completed', $12::text::integer, $13::text::bytea, now, now,
    now + $14::text::bigint, 0, $16::text::boolean, $17::text::bytea, $18::bytea, false, now + $15::text::bigint
  FROM clock
  ON CONFLICT (id) DO NOTHING
  RETURNING id
)
SELECT encode(id, 'hex') AS written FROM added`

/** As above, of the row that the look has locked; nobody has changed it since. Whoever waits for it is told when this commits. */
export const UPDATE_COMPLETED = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), changed AS (
  UPDATE "onceward" SET fingerprint = $6::text::bytea, generation = $7::text::bytea, ttl_ms = $8::text::bigint,
    remember_ms = $9::text::bigint, holds = $10::text::integer, attempts_max = $11::text::integer, created_at = $12::text::bigint,
    state = 'completed', attempt = $13::text::integer, owner = $14::text::bytea, lease_until = now, cause = NULL, ended_at = now,
    expires_at = now + $15::text::bigint, steps = 0, kept = $17::text::boolean, meta = $18::text::bytea, body = $19::bytea,
    actor = NULL, reason = NULL, watched = false, sweep_at = now + $16::text::bigint
  FROM clock WHERE id = $2::text::bytea AND xmin = $3::text::xid
  RETURNING id
), dropped AS (
  DELETE FROM "onceward_steps" WHERE $5::text::boolean AND id = $2::text::bytea
)
SELECT encode(id, 'hex') AS written, CASE WHEN $4::text::boolean THEN pg_notify($20::text, encode(id, 'hex'))::text END AS told FROM changed`
