import { ClosedError, OptionsError, StoreOpenError } from '../core/errors.ts'
import type { Guarantee } from '../core/store.ts'
import { errorNumber, errorNumbers, isConflict, named, type MysqlRow, type MysqlSession } from './mysql-connection.ts'

/** The version of the schema below, and the least version of this library's schema whose code may read and write it. */
const schemaVersion = 1
const schemaReadableBy = 1

/**
 * The schema, as it stands with the default name. All words are bytes, so that no collation, no NUL and no character set plays a part:
 * `SELECT CONVERT(scope USING utf8mb4)` shows them. A record is one row, its steps included, so that whatever changes it is one
 * statement, which commits by itself; nothing is locked while this process thinks. `revision` is drawn anew with every change: a
 * decision taken on one revision is written only onto that revision. `sweep_at` is never later than when the sweeper has to do
 * something about the record, and may be earlier: so a completion need not touch the index. A NULL in `kept` says that there is no
 * outcome, one in `expires_at` that the record never expires.
 */
const CREATE_SCHEMA = `CREATE TABLE IF NOT EXISTS \`onceward_schema\` (
  one TINYINT NOT NULL PRIMARY KEY,
  version INT NOT NULL,
  readable_by INT NOT NULL,
  identity VARBINARY(36) NOT NULL
) ENGINE=InnoDB`

const CREATE_RECORDS = `CREATE TABLE IF NOT EXISTS \`onceward\` (
  id BINARY(32) NOT NULL PRIMARY KEY,
  revision BINARY(8) NOT NULL,
  scope VARBINARY(1020) NOT NULL,
  name VARBINARY(4096) NOT NULL,
  \`key\` VARBINARY(1020) NOT NULL,
  fingerprint VARBINARY(255) NOT NULL,
  generation VARBINARY(255) NOT NULL,
  ttl_ms BIGINT NOT NULL,
  remember_ms BIGINT NOT NULL,
  holds TINYINT NOT NULL,
  attempts_max INT NOT NULL,
  created_at BIGINT NOT NULL,
  state VARBINARY(16) NOT NULL,
  attempt INT NOT NULL,
  owner VARBINARY(255) NOT NULL,
  lease_until BIGINT NOT NULL,
  cause VARBINARY(16),
  ended_at BIGINT,
  expires_at BIGINT,
  steps INT NOT NULL,
  step_results LONGBLOB NOT NULL,
  kept TINYINT,
  meta LONGBLOB,
  \`body\` LONGBLOB,
  actor LONGBLOB,
  reason LONGBLOB,
  sweep_at BIGINT,
  KEY \`onceward_sweep\` (sweep_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET=utf8mb4`

/** Who comes second changes nothing. `identity` tells these tables from all others: a bridge that does not see it leads elsewhere. */
const INSERT_VERSION = `INSERT INTO \`onceward_schema\` (one, version, readable_by, identity)
  VALUES (1, ${schemaVersion}, ${schemaReadableBy}, UUID())
  ON DUPLICATE KEY UPDATE one = one`

const VERSION = `SELECT version, readable_by FROM \`onceward_schema\` WHERE one = 1 LIMIT 1`

/** Every column: whether the table is there, and ours. */
const COLUMNS = `SELECT id, revision, scope, name, \`key\`, fingerprint, generation, ttl_ms, remember_ms, holds, attempts_max, created_at,
  state, attempt, owner, lease_until, cause, ended_at, expires_at, steps, step_results, kept, meta, \`body\`, actor, reason, sweep_at
FROM \`onceward\` LIMIT 0`

const ENGINE = `SELECT LOWER(engine) AS engine FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = CONVERT(? USING utf8mb4) LIMIT 1`

/** Writes nothing, and fails where a claim would: on a read-only server, and without the right to write. */
const TRY_TO_WRITE = `DELETE FROM \`onceward\` WHERE id = x'00'`

const VARIABLES = `SHOW VARIABLES WHERE Variable_name IN ('version', 'autocommit', 'sql_safe_updates', 'max_allowed_packet', 'innodb_flush_log_at_trx_commit',
  'tx_isolation', 'transaction_isolation',  'log_bin', 'sync_binlog', 'wsrep_on', 'rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled', 'innodb_doublewrite')`

/** What the store must know of its server. */
export interface MysqlServer {
  /** `SET STATEMENT` is MariaDB's alone. */
  readonly isMariadb: boolean
  /** Whether prepared statements take bytes as they are. */
  readonly takesBytes: boolean
  /** Bytes of a statement at the most. */
  readonly packetBytesMax: number
  readonly guarantee: Guarantee
}

/** How the schema is prepared. */
export interface MysqlSchemaOptions {
  readonly table: string
  readonly migrate: 'auto' | 'never'
}

/** Prepares the schema, which many processes may do at once, and looks at the settings in force. @throws StoreOpenError */
export async function preparedServer(session: MysqlSession, options: MysqlSchemaOptions): Promise<MysqlServer> {
  const rows = await session.rows(VARIABLES)
  const variables = new Map(rows.map((row) => [text(row['Variable_name']).toLowerCase(), text(row['Value'])]))
  const version = checkedVersion(variables.get('version') ?? '')
  checkSession(variables)
  await prepareSchema(session, options)
  await checkEngine(session, options.table)
  await checkWritable(session)
  return {
    ...version,
    takesBytes: await session.takesBytes(),
    packetBytesMax: Number(variables.get('max_allowed_packet')),
    guarantee: guaranteeOf(variables),
  }
}

/** What a session can be set to under which nothing would be committed, or some statements are refused. */
function checkSession(variables: ReadonlyMap<string, string>): void {
  const remedy = 'set it back, or give the store a pool of its own'
  if (variables.get('autocommit') === 'OFF')
    throw new StoreOpenError(`its connections have autocommit off, so that nothing would be committed: ${remedy}`)
  if (variables.get('sql_safe_updates') === 'ON')
    throw new StoreOpenError(`its connections have sql_safe_updates on, which refuses to update many records together: ${remedy}`)
  if ((variables.get('tx_isolation') ?? variables.get('transaction_isolation')) === 'READ-UNCOMMITTED')
    throw new StoreOpenError(`its connections read what is not committed, and may never be, as if it were an outcome: ${remedy}`)
}

/** From MariaDB 10.6 and MySQL 8.0.1 on a query can skip rows that others have locked. */
function checkedVersion(version: string): { readonly isMariadb: boolean } {
  const isMariadb = /mariadb/i.test(version)
  const [, major = 0, minor = 0] = (/^(\d+)\.(\d+)/.exec(version) ?? []).map(Number)
  const isEnough = isMariadb ? major > 10 || (major === 10 && minor >= 6) : major >= 8
  if (isEnough) return { isMariadb }
  throw new StoreOpenError(`the server is of version ${version || 'unknown'}: MariaDB 10.6 or MySQL 8.0 is needed: upgrade it`)
}

/** The table of versions comes first: whoever sees the records' table without it sees somebody else's. */
async function prepareSchema(session: MysqlSession, { table, migrate }: MysqlSchemaOptions): Promise<void> {
  if ((await isSchemaThere(session, table)) && (await isThere(session, COLUMNS, table))) return
  if (migrate === 'never')
    throw new StoreOpenError(`its tables are missing and migrate is 'never': run this SQL on it first:\n${schemaSql(table)}`)
  await session.changes(CREATE_SCHEMA)
  await session.changes(CREATE_RECORDS)
  await session.changes(INSERT_VERSION)
  await isSchemaThere(session, table)
  await isThere(session, COLUMNS, table)
}

function schemaSql(table: string): string {
  return [CREATE_SCHEMA, CREATE_RECORDS, INSERT_VERSION].map((sql) => `${named(sql, table)};`).join('\n')
}

async function isSchemaThere(session: MysqlSession, table: string): Promise<boolean> {
  const found = await readable(session, VERSION, `${table}_schema`)
  if (found === null) {
    const isForeign =
      (await readable(session, COLUMNS, table)) !== null && (await readable(session, VERSION, `${table}_schema`)) === null
    if (isForeign) throw foreign(table)
    return false
  }
  const [row] = found
  if (row === undefined) return false
  const [version, readableBy] = [Number(row['version']), Number(row['readable_by'])]
  if (readableBy > schemaVersion)
    throw new StoreOpenError(
      `its tables were written by a newer version of Onceward (schema ${version}, this one knows ${schemaVersion}): upgrade onceward`,
    )
  return true
}

async function isThere(session: MysqlSession, sql: string, table: string): Promise<boolean> {
  return (await readable(session, sql, table)) !== null
}

/** The rows; null where there is no such table. */
async function readable(session: MysqlSession, sql: string, table: string): Promise<readonly MysqlRow[] | null> {
  try {
    return await session.rows(sql)
  } catch (error) {
    if (errorNumber(error) === errorNumbers.noSuchTable) return null
    if (errorNumber(error) === errorNumbers.noSuchColumn) throw foreign(table)
    throw error
  }
}

function foreign(table: string): StoreOpenError {
  return new StoreOpenError(`it has a table '${table}' that is not Onceward's: give another name as 'table'`)
}

/** A server without InnoDB may have made another kind of table instead, without a word. */
async function checkEngine(session: MysqlSession, table: string): Promise<void> {
  const [row] = await session.rows(ENGINE, [table])
  const engine = text(row?.['engine'])
  if (row !== undefined && engine !== 'innodb')
    throw new StoreOpenError(
      `its table '${table}' is of the engine ${engine}, which has no transactions: ALTER TABLE … ENGINE=InnoDB`,
    )
}

async function checkWritable(session: MysqlSession): Promise<void> {
  try {
    await session.changes(TRY_TO_WRITE)
  } catch (error) {
    // Somebody is writing there: it can be written.
    if (!isConflict(error)) throw error
  }
}

/** From the settings in force. What a failover to a replica loses depends on what the application does then; it is said in words. */
function guaranteeOf(variables: ReadonlyMap<string, string>): Guarantee {
  const flush = variables.get('innodb_flush_log_at_trx_commit') ?? ''
  const isLogged = variables.get('log_bin') === 'ON'
  const sync = variables.get('sync_binlog') ?? ''
  if (variables.get('wsrep_on') === 'ON')
    return {
      tier: 'best-effort',
      reason:
        'Galera (wsrep_on=ON), which is not tested: a commit is acknowledged before other nodes have applied it: write to one node only',
    }
  if (flush !== '1' && flush !== '3')
    return {
      tier: 'best-effort',
      reason: `innodb_flush_log_at_trx_commit=${flush}: a commit can be lost when the server's machine stops`,
    }
  if (isLogged && sync !== '1')
    return {
      tier: 'best-effort',
      reason: `log_bin=ON with sync_binlog=${sync}: recovery rolls back what the binary log has lost when the server's machine stops`,
    }
  const semiSync = ['rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled'].some((name) => variables.get(name) === 'ON')
  const replicas = semiSync
    ? 'a replica has a commit before it is acknowledged, until semi-synchronous replication times out'
    : 'after a failover to a replica, commits that it had not received are lost'
  const settings = `innodb_flush_log_at_trx_commit=${flush}${isLogged ? ', sync_binlog=1' : ''}`
  return {
    tier: 'atomic',
    reason: `${settings}: a commit is on the server's disk before it is acknowledged; ${replicas}; effects elsewhere are fenced`,
  }
}

/** A value of a system table, which comes as text or as its bytes. */
function text(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString() : typeof value === 'string' ? value : ''
}

const permission = 'grant it CREATE, SELECT, INSERT, UPDATE and DELETE on the database, or create the tables yourself'

/** By the server's `errno`. */
const remedies: Readonly<Record<number, string>> = {
  1040: 'it has as many connections as it allows: raise max_connections, or make pools smaller',
  1044: 'the user has no right to this database: grant it one, or name another database',
  1045: 'the user or the password is wrong: correct the pool',
  1046: "the pool names no database: give createPool a 'database'",
  1049: "there is no such database: create it, or correct the pool's 'database'",
  1142: `the user lacks a permission: ${permission}`,
  1227: `the user lacks a permission: ${permission}`,
  1290: 'the server is read-only: give the pool of the primary',
  1698: 'the user or the password is wrong: correct the pool',
  1792: 'the connection is read-only: give the pool of the primary',
  1836: 'the server is read-only: give the pool of the primary',
}

/** What opening failed with, as callers see it. */
export function openError(error: unknown): StoreOpenError | ClosedError | OptionsError {
  if (error instanceof ClosedError || error instanceof OptionsError) return error
  if (error instanceof StoreOpenError) return new StoreOpenError(`the MySQL database cannot be used: ${error.message}`)
  const message = error instanceof Error ? error.message || ('code' in error ? String(error.code) : error.name) : String(error)
  const remedy = remedies[errorNumber(error) ?? 0] ?? 'check that the server runs, and the host, port and user of the pool'
  return new StoreOpenError(`the MySQL database cannot be opened (${message}): ${remedy}`, { cause: error })
}
