/**
 * The statements of the store, whole, with the default name; `named` puts in the tables' own. Each is a transaction of its own, so that
 * none needs a session: any connection will do for the next, behind a pooler as well. What all of them have in common:
 *
 * - Time is `clock_timestamp()` of the server, read once a statement, plus the offset that is the first parameter.
 * - Nothing waits for a row. Rows are locked by `FOR UPDATE SKIP LOCKED`: a row in somebody's open transaction is left alone, and
 *   the others are not held up. Whoever keeps a transaction open around a row that no one sees yet holds that operation's advisory lock.
 * - Rows are found by a lookup in the primary key for each, behind `LATERAL … LIMIT 1` or `LATERAL … FOR UPDATE`, which the planner
 *   cannot turn into a join: it was measured to prefer a scan of the table, and to keep to it while the table grew. That each lookup
 *   uses the index, also in a plan that is kept, is seen to by the table's size: see the schema.
 * - They are written by `ON CONFLICT (id) DO UPDATE` for the same reason: it finds them by that index, whatever the planner thinks.
 *   The row is locked by then, and so there.
 * - A revision is the `xmin` of the row that was read: who wrote it. It is another after every change.
 */

/**
 * First attempts, where there is no row: what the transition table gives for one at time zero, moved to the server's time. Of two
 * processes that see no row one gets the advisory lock, and the other leaves the operation alone: inserting, it would wait until the
 * row of the first is committed. Whoever gets it when the first has committed, which its snapshot does not show, meets the conflict
 * and inserts nothing. With it come the rows that were there, for the table to decide.
 */
export const CLAIM = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), wanted AS MATERIALIZED (
  SELECT * FROM unnest($2::text::bytea[], $3::text::bigint[], $4::text::bytea[], $5::text::bytea[], $6::text::bytea[],
    $7::text::bytea[], $8::text::bigint[], $9::text::bigint[], $10::text::integer[], $11::text::integer[], $12::text::bytea[],
    $13::text::bigint[], $14::text::bigint[]) WITH ORDINALITY
  AS w (id, latch, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, owner, lease_ms, expires_ms, place)
), found AS MATERIALIZED (
  SELECT w.place, r.* FROM wanted w
  CROSS JOIN LATERAL (SELECT o.*, o.xmin::text AS revision FROM "onceward" o WHERE o.id = w.id LIMIT 1) r
), added AS (
  INSERT INTO "onceward" (id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at,
    state, attempt, owner, lease_until, expires_at, steps, watched, sweep_at)
  SELECT w.id, w.scope, w.name, w.key, w.fingerprint, w.ttl_ms, w.remember_ms, w.holds, w.attempts_max, clock.now,
    'running', 1, w.owner, clock.now + w.lease_ms, clock.now + w.expires_ms, 0, false, clock.now + least(w.ttl_ms, w.expires_ms)
  FROM wanted w CROSS JOIN clock
  WHERE NOT EXISTS (SELECT 1 FROM found f WHERE f.place = w.place) AND pg_try_advisory_xact_lock(w.latch)
  ORDER BY w.place
  ON CONFLICT (id) DO NOTHING
  RETURNING id
)
SELECT clock.now::float8, w.place::integer, a.id IS NOT NULL, f.revision, f.watched, f.id, f.scope, f.name, f.key, f.fingerprint,
  f.ttl_ms::float8, f.remember_ms::float8, f.holds, f.attempts_max, f.created_at::float8, f.state, f.attempt, f.owner,
  f.lease_until::float8, f.cause, f.ended_at::float8, f.expires_at::float8, f.kept, f.meta, f.body, f.actor, f.reason,
  CASE WHEN f.steps > 0 THEN (
    SELECT json_agg(json_build_array(encode(s.name, 'hex'), s.kept, encode(s.meta, 'hex'), encode(s.body, 'hex')) ORDER BY s.position)::text
    FROM "onceward_steps" s WHERE s.id = f.id) END, f.generation
FROM wanted w CROSS JOIN clock LEFT JOIN added a ON a.id = w.id LEFT JOIN found f ON f.place = w.place`

/** As above for one claim, and plain. Where there is a row it gives nothing: the row is read then. */
export const CLAIM_ONE = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
)
INSERT INTO "onceward" (id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at,
  state, attempt, owner, lease_until, expires_at, steps, watched, sweep_at)
SELECT $2::text::bytea, $4::text::bytea, $5::text::bytea, $6::text::bytea, $7::text::bytea, $8::text::bigint, $9::text::bigint,
  $10::text::integer, $11::text::integer, now, 'running', 1, $12::text::bytea, now + $13::text::bigint, now + $14::text::bigint,
  0, false, now + least($8::text::bigint, $14::text::bigint)
FROM clock
WHERE NOT EXISTS (SELECT 1 FROM "onceward" WHERE id = $2::text::bytea) AND pg_try_advisory_xact_lock($3::text::bigint)
ON CONFLICT (id) DO NOTHING
RETURNING created_at::float8`

/** The rows as they stand, with their steps, in one snapshot. */
export const READ = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), wanted AS MATERIALIZED (
  SELECT * FROM unnest($2::text::bytea[]) WITH ORDINALITY AS w (id, place)
)
SELECT clock.now::float8, w.place::integer, false, f.revision, f.watched, f.id, f.scope, f.name, f.key, f.fingerprint,
  f.ttl_ms::float8, f.remember_ms::float8, f.holds, f.attempts_max, f.created_at::float8, f.state, f.attempt, f.owner,
  f.lease_until::float8, f.cause, f.ended_at::float8, f.expires_at::float8, f.kept, f.meta, f.body, f.actor, f.reason,
  CASE WHEN f.steps > 0 THEN (
    SELECT json_agg(json_build_array(encode(s.name, 'hex'), s.kept, encode(s.meta, 'hex'), encode(s.body, 'hex')) ORDER BY s.position)::text
    FROM "onceward_steps" s WHERE s.id = f.id) END, f.generation
FROM wanted w CROSS JOIN clock
LEFT JOIN LATERAL (SELECT o.*, o.xmin::text AS revision FROM "onceward" o WHERE o.id = w.id LIMIT 1) f ON true`

/** The next rows in the order of the identities, without what may be large: most are not meant. */
export const READ_SLICE = `
SELECT (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint)::float8, 0, false,
  f.xmin::text, f.watched, f.id, f.scope, f.name, f.key, f.fingerprint,
  f.ttl_ms::float8, f.remember_ms::float8, f.holds, f.attempts_max, f.created_at::float8, f.state, f.attempt, f.owner,
  f.lease_until::float8, f.cause, f.ended_at::float8, f.expires_at::float8, f.kept, f.meta, NULL::bytea, f.actor, f.reason, NULL::text, f.generation
FROM "onceward" f WHERE f.id > $2::text::bytea ORDER BY f.id LIMIT $3::text::integer`

/**
 * The two commonest lines of the settlement table: a completion (without a lease in its place) and a renewal of a running attempt,
 * under this very fence, that has not expired; and for a completion without steps, which would have to go. There the table says
 * these times. What fails the condition, or is locked, is left as it is, and the table itself decides. Whoever waits for a completed
 * operation is told when this commits: only then, since Postgres commits one after the other what notifies.
 */
export const SETTLE = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), wanted AS MATERIALIZED (
  SELECT * FROM unnest($2::text::bytea[], $3::text::integer[], $4::text::bytea[], $5::text::bigint[], $6::text::boolean[],
    $7::text::bytea[], $8::text::bytea[]) AS w (id, attempt, owner, lease_ms, kept, meta, body)
), mine AS MATERIALIZED (
  SELECT clock.now, w.lease_ms, w.kept AS new_kept, w.meta AS new_meta, w.body AS new_body, o.*
  FROM wanted w CROSS JOIN clock CROSS JOIN LATERAL (
    SELECT r.* FROM "onceward" r
    WHERE r.id = w.id AND r.state = 'running' AND r.attempt = w.attempt AND r.owner = w.owner
      AND (r.expires_at IS NULL OR r.expires_at > clock.now) AND (r.steps = 0 OR w.lease_ms IS NOT NULL)
    FOR UPDATE OF r SKIP LOCKED) o
), settled AS (
  INSERT INTO "onceward" AS r (id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at,
    attempt, owner, steps, watched, state, lease_until, ended_at, expires_at, kept, meta, body)
  SELECT id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at, attempt, owner, steps, watched,
    CASE WHEN lease_ms IS NULL THEN 'completed' ELSE 'running' END, now + coalesce(lease_ms, 0),
    CASE WHEN lease_ms IS NULL THEN now END,
    CASE WHEN lease_ms IS NULL THEN now + ttl_ms + remember_ms
      WHEN holds & 4 = 0 AND attempt < attempts_max THEN now + lease_ms + ttl_ms END,
    new_kept, new_meta, new_body
  FROM mine
  ON CONFLICT (id) DO UPDATE SET state = excluded.state, lease_until = excluded.lease_until, ended_at = excluded.ended_at,
    expires_at = excluded.expires_at, kept = excluded.kept, meta = excluded.meta, body = excluded.body
)
SELECT encode(id, 'hex'), CASE WHEN watched AND lease_ms IS NULL THEN pg_notify($9::text, encode(id, 'hex')) END FROM mine`

/** As above for one completion, in half the server's time, its body as bytes. */
export const COMPLETE_ONE = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), settled AS (
  UPDATE "onceward" SET state = 'completed', lease_until = now, ended_at = now, expires_at = now + ttl_ms + remember_ms,
    kept = $5::text::boolean, meta = $6::text::bytea, body = $7::bytea
  FROM clock
  WHERE id = (
    SELECT r.id FROM "onceward" r
    WHERE r.id = $2::text::bytea AND r.state = 'running' AND r.attempt = $3::text::integer AND r.owner = $4::text::bytea
      AND r.steps = 0 AND (r.expires_at IS NULL OR r.expires_at > (SELECT now FROM clock))
    FOR UPDATE OF r SKIP LOCKED)
  RETURNING id, watched
)
SELECT encode(id, 'hex'), CASE WHEN watched THEN pg_notify($8::text, encode(id, 'hex')) END FROM settled`

/**
 * What the tables decided, for each row that nobody has changed since it was read or has locked now: the revision is compared once
 * the row is locked. A decision that finds its row changed is made anew. Of a watched operation that runs no more, its watchers are told.
 */
export const WRITE = `
WITH wanted AS MATERIALIZED (
  SELECT * FROM unnest($1::text::bytea[], $2::text::xid[], $3::text::boolean[], $4::text::boolean[], $5::text::boolean[],
    $6::text::bytea[], $7::text::bytea[], $8::text::bigint[], $9::text::bigint[], $10::text::integer[], $11::text::integer[], $12::text::bigint[],
    $13::text::text[], $14::text::integer[], $15::text::bytea[], $16::text::bigint[], $17::text::text[], $18::text::bigint[],
    $19::text::bigint[], $20::text::integer[], $21::text::boolean[], $22::text::bytea[], $23::text::bytea[], $24::text::bytea[],
    $25::text::bytea[], $26::text::bigint[])
  AS w (id, revision, is_gone, drops_steps, flags, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at,
    state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept, meta, body, actor, reason, sweep_at)
), mine AS MATERIALIZED (
  SELECT w.*, o.* FROM wanted w CROSS JOIN LATERAL (
    SELECT r.ctid AS place, r.scope, r.name, r.key, r.watched FROM "onceward" r WHERE r.id = w.id AND r.xmin = w.revision
    FOR UPDATE OF r SKIP LOCKED) o
), removed AS (
  DELETE FROM "onceward" WHERE ctid = ANY (ARRAY(SELECT place FROM mine WHERE is_gone))
), written AS (
  INSERT INTO "onceward" (id, scope, name, key, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at,
    state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept, meta, body, actor, reason, watched, sweep_at)
  SELECT id, scope, name, key, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at,
    state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, kept, meta, body, actor, reason,
    (watched OR flags) AND state = 'running', sweep_at
  FROM mine WHERE NOT is_gone
  ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, generation = excluded.generation, ttl_ms = excluded.ttl_ms,
    remember_ms = excluded.remember_ms, holds = excluded.holds, attempts_max = excluded.attempts_max,
    created_at = excluded.created_at, state = excluded.state, attempt = excluded.attempt, owner = excluded.owner,
    lease_until = excluded.lease_until, cause = excluded.cause, ended_at = excluded.ended_at, expires_at = excluded.expires_at,
    steps = excluded.steps, kept = excluded.kept, meta = excluded.meta, body = excluded.body, actor = excluded.actor,
    reason = excluded.reason, watched = excluded.watched, sweep_at = excluded.sweep_at
), dropped AS (
  DELETE FROM "onceward_steps" WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE drops_steps))
), stepped AS (
  INSERT INTO "onceward_steps" (id, position, name, kept, meta, body)
  SELECT s.id, s.position, s.name, s.kept, s.meta, s.body
  FROM unnest($27::text::bytea[], $28::text::integer[], $29::text::bytea[], $30::text::boolean[], $31::text::bytea[],
    $32::text::bytea[]) AS s (id, position, name, kept, meta, body)
  JOIN mine ON mine.id = s.id
)
SELECT encode(id, 'hex'), CASE WHEN watched AND (is_gone OR state <> 'running') THEN pg_notify($33::text, encode(id, 'hex')) END
FROM mine`

/**
 * Of the rows due first, at most so many: removes what has expired, and the outcome of what is only remembered, and notes for the
 * others when they are due next. Two processes that sweep at once take different rows.
 */
export const SWEEP = `
WITH clock AS MATERIALIZED (
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1::text::bigint AS now
), due AS MATERIALIZED (
  SELECT ctid AS place, id, state = 'completed' AND ended_at + ttl_ms <= now AS is_outlived, expires_at <= now AS is_gone, steps
  FROM "onceward" r, clock WHERE sweep_at <= (SELECT now FROM clock) ORDER BY sweep_at LIMIT $2::text::integer FOR UPDATE OF r SKIP LOCKED
), removed AS (
  DELETE FROM "onceward" WHERE ctid = ANY (ARRAY(SELECT place FROM due WHERE is_gone))
), dropped AS (
  DELETE FROM "onceward_steps" WHERE id = ANY (ARRAY(SELECT id FROM due WHERE is_gone AND steps > 0))
), emptied AS (
  UPDATE "onceward" SET state = 'tombstone', kept = NULL, meta = NULL, body = NULL, sweep_at = expires_at
  WHERE ctid = ANY (ARRAY(SELECT place FROM due WHERE is_outlived AND is_gone IS NOT TRUE))
), later AS (
  UPDATE "onceward" SET sweep_at = CASE state WHEN 'completed' THEN ended_at + ttl_ms
    WHEN 'running' THEN least(now + ttl_ms, expires_at) ELSE expires_at END
  FROM clock WHERE ctid = ANY (ARRAY(SELECT place FROM due WHERE is_outlived IS NOT TRUE AND is_gone IS NOT TRUE))
)
SELECT count(*)::integer, (count(*) FILTER (WHERE is_gone OR is_outlived))::integer FROM due`

/** Writes, so that its commit waits for the replicas, and with it for what was committed before. */
export const CONFIRM = `UPDATE "onceward_schema" SET version = version`

/** The frequent statements, which pay for a name. */
export const frequent: ReadonlySet<string> = new Set([CLAIM, CLAIM_ONE, READ, SETTLE, COMPLETE_ONE])
