import { ClosedError, StoreOpenError } from '../core/errors.ts'
import type { Guarantee } from '../core/store.ts'
import { sqlState, type PostgresDriver } from './postgres-clients.ts'

/** The names of the store's tables, checked by `postgres()`. */
export interface PostgresTables {
  /** Null: the first schema of the connection's search path. */
  readonly schema: string | null
  readonly table: string
}

/** The version of the schema below, and the least version of this library's schema whose code may read and write it. */
const schemaVersion = 1
const schemaReadableBy = 1

/**
 * The schema, as it stands with the default name. Every word is kept as its UTF-8: a text can hold no NUL, and means something else in
 * a database of another encoding. `sweep_at` is never later than when the sweeper has to do something about the record, and may be
 * earlier: so a completion touches no index, and with room left on each page (the fill factor) it stays on its page. A NULL in
 * `kept` says that there is no outcome, one in `expires_at` that the record never expires, one in
 * `generation` that it is the owner. `watched`: somebody waits for it.
 * Rows that are removed at once leave some twenty pages, which VACUUM does not give back: a scan of them looks dearer to the planner than
 * a lookup in the index, so that a plan made while the table was nearly empty and kept while it grew is a good one. Without them such a
 * plan was measured to take five times the CPU. Of a scope there is at least one character, so that no other row is meant.
 * Sent as one text without parameters, it is one transaction, in which only one process at a time looks and creates.
 */
const SCHEMA = `
SELECT pg_advisory_xact_lock(7165927340184223);
CREATE TABLE IF NOT EXISTS "onceward" (
  id bytea PRIMARY KEY,
  scope bytea NOT NULL,
  name bytea NOT NULL,
  key bytea NOT NULL,
  fingerprint bytea NOT NULL,
  generation bytea,
  ttl_ms bigint NOT NULL,
  remember_ms bigint NOT NULL,
  holds integer NOT NULL,
  attempts_max integer NOT NULL,
  created_at bigint NOT NULL,
  state text NOT NULL,
  attempt integer NOT NULL,
  owner bytea NOT NULL,
  lease_until bigint NOT NULL,
  cause text,
  ended_at bigint,
  expires_at bigint,
  steps integer NOT NULL,
  kept boolean,
  meta bytea,
  body bytea,
  actor bytea,
  reason bytea,
  watched boolean NOT NULL,
  sweep_at bigint
) WITH (fillfactor = 70, vacuum_truncate = false);
INSERT INTO "onceward" (id, scope, name, key, fingerprint, ttl_ms, remember_ms, holds, attempts_max, created_at,
    state, attempt, owner, lease_until, steps, body, watched)
  SELECT decode(md5(n::text) || md5(n::text), 'hex'), '', '', '', '', 0, 0, 0, 0, 0, 'completed', 1, '', 0, 0,
    decode(repeat('00', 1500), 'hex'), false
  FROM generate_series(1, 60) n WHERE NOT EXISTS (SELECT 1 FROM "onceward");
DELETE FROM "onceward" WHERE scope = '';
CREATE INDEX IF NOT EXISTS "onceward_sweep" ON "onceward" (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS "onceward_steps" (
  id bytea NOT NULL,
  position integer NOT NULL,
  name bytea NOT NULL,
  kept boolean NOT NULL,
  meta bytea NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (id, position)
);
CREATE TABLE IF NOT EXISTS "onceward_schema" (version integer NOT NULL, readable_by integer NOT NULL, identity text NOT NULL);
INSERT INTO "onceward_schema" (version, readable_by, identity)
  SELECT ${schemaVersion}, ${schemaReadableBy}, md5(random()::text || random()::text || clock_timestamp()::text) WHERE NOT EXISTS (SELECT 1 FROM "onceward_schema");
`

/**
 * What there is of the tables, by their columns that must be there, and who asks. Read from the catalogs in one snapshot, so that tables
 * which are just being created are all there or none (`to_regclass` sees each as it comes), and without touching one that is not ours.
 */
const LOOK = `
SELECT current_setting('server_version_num')::integer, current_setting('transaction_read_only'), current_user::text,
  coalesce(current_schema()::text, ''), (
    SELECT json_object_agg(substr(c.relname, length($1::text) + 1), (
      SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
        AND a.attname IN ('id', 'fingerprint', 'lease_until', 'sweep_at', 'position', 'version', 'readable_by', 'identity')))::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname IN ($1::text, $1::text || '_steps', $1::text || '_schema', $1::text || '_sweep')
      AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = $2::text END)`

/** How many of those columns our own tables have. */
const ownColumns: Readonly<Record<string, number>> = { '': 4, _steps: 2, _schema: 3 }

const VERSION = `SELECT version, readable_by FROM "onceward_schema" ORDER BY version DESC LIMIT 1`

/** Tells these tables from every other. */
export const IDENTITY = `SELECT identity FROM "onceward_schema"`

/** The settings that decide what an acknowledged commit is worth, and what this user may not do that the store has to. */
const PROBE = `
SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'),
  current_setting('synchronous_standby_names'), current_setting('max_locks_per_transaction')::integer,
  (SELECT relpersistence::text FROM pg_class WHERE oid = to_regclass('"onceward"')),
  (SELECT string_agg(what || ' on ' || on_what, ', ')
    FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) what,
      unnest(ARRAY['"onceward"', '"onceward_steps"']) on_what
    WHERE NOT has_table_privilege(to_regclass(on_what), what))`

/**
 * A statement's text with the tables' own names: the only place where an identifier is put in. Both names were checked, and hold
 * neither quotes nor backslashes. An index has its table's schema and is made without one.
 */
export function named(sql: string, { schema, table }: PostgresTables): string {
  const prefix = schema === null ? '' : `"${schema}".`
  return sql.replaceAll(
    /(INDEX IF NOT EXISTS )?"onceward/g,
    (_, index?: string) => `${index ?? prefix}${index === undefined ? '' : ''}"${table}`,
  )
}

/** What is known of a server once the store is open on it. */
export interface PostgresServer {
  readonly guarantee: Guarantee
  /** Locks that each transaction may hold without taking room from others. */
  readonly locksMax: number
}

/** Sees to it that the schema is there, and finds out what the server promises. */
export async function openServer(
  driver: PostgresDriver,
  tables: PostgresTables,
  migrate: 'auto' | 'never',
): Promise<PostgresServer> {
  if (!(await isSchemaThere(driver, tables))) {
    if (migrate === 'never')
      throw new StoreOpenError(
        `its tables are missing and migrate is 'never': run this SQL on it first:\n${named(SCHEMA, tables)}`,
      )
    await driver.script(named(SCHEMA, tables))
  }
  await checkVersion(driver, tables)
  return probe(driver, tables)
}

async function isSchemaThere(driver: PostgresDriver, { schema, table }: PostgresTables): Promise<boolean> {
  const [row = []] = await driver.query(LOOK, [table, schema])
  const [server, readOnly, user, current, tables] = row
  if (Number(server) < 120_000)
    throw new StoreOpenError(`the server's version is ${String(server)}: Postgres 12 or newer is needed`)
  if (readOnly === 'on')
    throw new StoreOpenError(
      'it takes no writes (transaction_read_only is on): give the primary, not a replica, and a database that may be written to',
    )
  const found = JSON.parse(typeof tables === 'string' ? tables : '{}') as Readonly<Record<string, number>>
  if (Object.entries(ownColumns).every(([name, columns]) => found[name] === columns)) return true
  const [foreign] = Object.keys(found)
  if (foreign !== undefined)
    throw new StoreOpenError(
      `it has a table or index '${table}${foreign}' that is not Onceward's, or not all of its tables: give another name as 'table'`,
    )
  if (schema === null && current === '')
    throw new StoreOpenError(`the search path of '${String(user)}' names no schema that there is: create one, or give 'schema'`)
  return false
}

async function checkVersion(driver: PostgresDriver, tables: PostgresTables): Promise<void> {
  const [row] = await driver.query(named(VERSION, tables), [])
  const [version, readableBy] = row ?? []
  if (typeof version !== 'number' || typeof readableBy !== 'number')
    throw new StoreOpenError(`its table '${tables.table}_schema' is not Onceward's: give another name as 'table'`)
  if (readableBy > schemaVersion)
    throw new StoreOpenError(
      `its tables were written by a newer version of Onceward (schema ${version}, this one knows ${schemaVersion}): upgrade onceward`,
    )
}

async function probe(driver: PostgresDriver, tables: PostgresTables): Promise<PostgresServer> {
  const [row = []] = await driver.query(named(PROBE, tables), [])
  const [fsync, commit, pages, standbys, locks, persistence, missing] = row.map((value) =>
    typeof value === 'number' ? String(value) : ((value ?? '') as string),
  )
  if (missing !== '' && missing !== undefined)
    throw new StoreOpenError(`its user lacks ${named(missing, tables)}: GRANT it to that user`)
  const settings = { fsync, commit, pages, standbys, isUnlogged: persistence === 'u' }
  return { guarantee: guaranteeOf(driver, settings), locksMax: Number(locks) }
}

interface Durability {
  readonly fsync: string | undefined
  readonly commit: string | undefined
  readonly pages: string | undefined
  readonly standbys: string | undefined
  readonly isUnlogged: boolean
}

/** From the settings in force for this user on this database. */
function guaranteeOf({ kind }: PostgresDriver, settings: Durability): Guarantee {
  const weakness = weaknessOf(kind, settings)
  if (weakness !== undefined) return { tier: 'best-effort', reason: weakness }
  const { commit, standbys } = settings
  const local = `fsync=on, synchronous_commit=${commit}: a commit is on the server's disk before it is acknowledged`
  return { tier: 'atomic', reason: `${local}; ${failoverOf(kind, commit, standbys)}; effects elsewhere are fenced` }
}

function weaknessOf(kind: PostgresDriver['kind'], { fsync, commit, pages, isUnlogged }: Durability): string | undefined {
  if (kind === 'PGlite')
    return 'PGlite runs in this process and waits for no disk: records may vanish with the process or the machine'
  if (isUnlogged) return 'the table is UNLOGGED: a crash of the server empties it'
  if (fsync !== 'on') return `fsync=${fsync}: a crash of the machine can lose or damage everything`
  if (commit === 'off') return 'synchronous_commit=off: a crash of the server loses the last commits it acknowledged'
  if (pages !== 'on') return `full_page_writes=${pages}: a crash of the machine can damage what was written before`
  return undefined
}

function failoverOf(kind: PostgresDriver['kind'], commit: string | undefined, standbys: string | undefined): string {
  if (standbys === '' || commit === 'local') return 'no replica is waited for, so that a failover to one loses the last commits'
  const where = { remote_write: 'in the memory', remote_apply: 'applied' }[commit ?? ''] ?? 'on the disk'
  const seen = kind === 'pg' ? '' : `, unless that wait is cancelled, which ${kind} does not tell`
  return `and ${where} of the synchronous replicas (${standbys})${seen}`
}

/** What the server's answers to an attempt to open mean for whoever started it. */
const remedies: Readonly<Record<string, string>> = {
  '28P01': 'check the user and the password',
  '28000': 'check the user, and pg_hba.conf on the server',
  '3D000': 'create the database, or give the name of one that there is',
  '3F000': "create the schema, or give another as 'schema'",
  '42501': "GRANT CREATE on the schema to this user, or run the SQL that migrate: 'never' prints as one who may",
  '42P01': "its tables are not as Onceward made them: restore them, or give another name as 'table'",
  '42703': "its tables are not as Onceward made them: restore them, or give another name as 'table'",
  '42704': 'its user or a type it needs is missing on the server',
  '53300': "the server has no connection left: raise max_connections, or make the pools' max smaller",
  '57P03': 'the server is starting or shutting down: try again',
  '25006': 'it takes no writes: give the primary, not a replica',
  ECONNREFUSED: 'check host and port, and that the server runs',
  ENOTFOUND: "check the host's name",
  EAI_AGAIN: "check the host's name, and the name service",
  ETIMEDOUT: 'check host and port, and the network in between',
  EHOSTUNREACH: 'check the host, and the network in between',
  ECONNRESET: 'check that it is Postgres that listens there, and whether it wants TLS',
  CONNECT_TIMEOUT: 'check host and port, and the network in between',
}

/** What opening failed with, as callers see it. */
export function openError(error: unknown): StoreOpenError | ClosedError {
  if (error instanceof ClosedError) return error
  if (error instanceof StoreOpenError) return new StoreOpenError(`the Postgres database cannot be used: ${error.message}`)
  const remedy = remedies[sqlState(error) ?? systemCode(error)] ?? 'look at what the server logs'
  return new StoreOpenError(`the Postgres database cannot be opened (${messageOf(error)}): ${remedy}`, { cause: error })
}

function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** An address tried as IPv6 and as IPv4 gives both errors, and no message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
