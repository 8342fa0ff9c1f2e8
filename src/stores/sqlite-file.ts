import { ClosedError, StoreOpenError } from '../core/errors.ts'

/** A value bound to a statement's parameter. */
export type SqliteValue = string | number | Uint8Array | null

/** The members of a prepared statement that the store calls. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): { readonly changes: number | bigint }
  get(...values: SqliteValue[]): unknown
  all(...values: SqliteValue[]): unknown[]
}

/** The members of a database that the store calls. */
export interface SqliteDatabase {
  exec(sql: string): unknown
  prepare(sql: string): SqliteStatement
  close(): unknown
}

/** A class of databases: `DatabaseSync` of `node:sqlite`, and better-sqlite3's `Database`, fit. */
export type SqliteDriver<Database extends SqliteDatabase = SqliteDatabase> = new (path: string) => Database

/** What it takes to open a file. */
export interface SqliteFile {
  readonly driver: SqliteDriver
  readonly path: string
  /** Prefix of the tables. */
  readonly table: string
  readonly migrate: 'auto' | 'never'
}

/** The version of the schema below, and the least version of this library's schema whose code may read and write it. */
const schemaVersion = 1
const schemaReadableBy = 1

/**
 * The schema, as it stands with the default name. Records lie in the order in which they came, so that the pages a transaction
 * writes are few and recent. Only the index of the identities is written at random places, and they are digests: their first 16 bytes
 * tell all apart, and make the index half as large. The write lock sees to it that there is one row an operation; the index is
 * unique all the same, so that nothing else can make two.
 * `sweep_at` is never later than when the sweeper has to do something about the record, and may be earlier: so a completion, which
 * moves `expires_at`, need not touch the index. Steps lie beside the records: few have any. A NULL in `kept` says that there is no
 * outcome, one in `expires_at` that the record never expires.
 */
const SCHEMA = `
CREATE TABLE "onceward" (
  id BLOB NOT NULL,
  scope TEXT NOT NULL,
  name TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  generation TEXT NOT NULL,
  ttl_ms INTEGER NOT NULL,
  remember_ms INTEGER NOT NULL,
  holds INTEGER NOT NULL,
  attempts_max INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  owner TEXT NOT NULL,
  lease_until INTEGER NOT NULL,
  cause TEXT,
  ended_at INTEGER,
  expires_at INTEGER,
  steps INTEGER NOT NULL,
  kept INTEGER,
  meta TEXT,
  body BLOB,
  actor TEXT,
  reason TEXT,
  sweep_at INTEGER
);
CREATE UNIQUE INDEX "onceward_id" ON "onceward" (substr(id, 1, 16));
CREATE INDEX "onceward_sweep" ON "onceward" (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE TABLE "onceward_steps" (
  id BLOB NOT NULL,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  kept INTEGER NOT NULL,
  meta TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (id, position)
) WITHOUT ROWID;
CREATE TABLE "onceward_schema" (version INTEGER NOT NULL, readable_by INTEGER NOT NULL, identity TEXT NOT NULL);
INSERT INTO "onceward_schema" (version, readable_by, identity) VALUES (${schemaVersion}, ${schemaReadableBy}, hex(randomblob(16)));
`

/** Names are compared as SQLite compares them: without regard to case. */
const NAMES = `SELECT lower(name) AS name FROM sqlite_schema`

const VERSION = `SELECT version, readable_by AS readableBy FROM "onceward_schema"`

/** What tells this store from every other. */
export const IDENTITY = `SELECT identity FROM "onceward_schema"`

const TRY_TO_WRITE = `BEGIN IMMEDIATE; UPDATE "onceward_schema" SET version = version; ROLLBACK`

/** A statement's text with the table's own name: the only place where an identifier is put in, validated by `sqlite()`. */
export function named(sql: string, table: string): string {
  return sql.replaceAll('"onceward', `"${table}`)
}

/**
 * Never waits for a lock on this thread. Every commit reaches the disk before it is acknowledged, on macOS as well. A small cache: the
 * system caches the file too, and a larger one was measured to save nothing. A checkpoint every 16,000 pages, so that the log beside
 * the file grows to 64 MB: the fewer, the less often a page that changes again is written, and the fewer callers wait for one. At 4,000
 * (the default is 1,000) a file with a million records had 0.76 of a small one's throughput, at 16,000 it has 0.92, and the p99 behind
 * Express was 13.6 ms instead of 10.7.
 */
const SETTINGS = `
PRAGMA busy_timeout = 0;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
PRAGMA checkpoint_fullfsync = ON;
PRAGMA cache_size = -2000;
PRAGMA wal_autocheckpoint = 16000;
`

/** Another connection to a file that is open, for transactions. */
export function openBeside<Database extends SqliteDatabase>(driver: new (path: string) => Database, path: string): Database {
  const database = new driver(path)
  try {
    database.exec(SETTINGS)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/**
 * Opens the file with the store's settings and the schema in place, and hands it to `use`. Fails as a whole: what it opened is
 * closed again.
 */
export function openFile<Result>(file: SqliteFile, use: (database: SqliteDatabase) => Result): Result {
  const database = new file.driver(file.path)
  try {
    database.exec(SETTINGS)
    checkSettings(database)
    prepareSchema(database, file)
    checkWritable(database, file.table)
    return use(database)
  } catch (error) {
    database.close()
    throw error
  }
}

/** A setting of the connection. */
export function pragma(database: SqliteDatabase, name: 'journal_mode' | 'synchronous' | 'encoding'): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() as Record<string, unknown>)[0]
}

function checkSettings(database: SqliteDatabase): void {
  const mode = pragma(database, 'journal_mode')
  if (mode !== 'wal' && mode !== 'memory')
    throw new StoreOpenError(
      `its journal mode is '${String(mode)}' and cannot be made WAL, as on network file systems: put the file on a local disk`,
    )
  const encoding = pragma(database, 'encoding')
  if (encoding !== 'UTF-8')
    throw new StoreOpenError(`its text encoding is ${String(encoding)}: give Onceward a file of its own, which will be UTF-8`)
}

/** SQLite opens a file that may only be read without a word, and even begins; that another process is writing says that one can. */
function checkWritable(database: SqliteDatabase, table: string): void {
  try {
    database.exec(named(TRY_TO_WRITE, table))
  } catch (error) {
    if (!isLocked(error)) throw error
  }
}

/** Many processes may do this at once: who comes second finds the schema inside its own transaction. */
function prepareSchema(database: SqliteDatabase, { table, migrate }: SqliteFile): void {
  if (isSchemaThere(database, table)) return checkVersion(database, table)
  if (migrate === 'never')
    throw new StoreOpenError(`its tables are missing and migrate is 'never': run this SQL on it first:\n${named(SCHEMA, table)}`)
  database.exec('BEGIN IMMEDIATE')
  try {
    if (!isSchemaThere(database, table)) database.exec(named(SCHEMA, table))
    database.exec('COMMIT')
  } catch (error) {
    rollBack(database)
    throw error
  }
  checkVersion(database, table)
}

function isSchemaThere(database: SqliteDatabase, table: string): boolean {
  const names = new Set((database.prepare(NAMES).all() as { name: string }[]).map(({ name }) => name))
  if (names.has(`${table}_schema`.toLowerCase())) return true
  const foreign = ['', '_id', '_sweep', '_steps'].find((part) => names.has(`${table}${part}`.toLowerCase()))
  if (foreign === undefined) return false
  throw new StoreOpenError(`it has a table or index '${table}${foreign}' that is not Onceward's: give another name as 'table'`)
}

function checkVersion(database: SqliteDatabase, table: string): void {
  const found = versionOf(database, table)
  if (found === undefined || typeof found.version !== 'number' || typeof found.readableBy !== 'number')
    throw new StoreOpenError(`its table '${table}_schema' is not Onceward's: give another name as 'table'`)
  if (found.readableBy > schemaVersion)
    throw new StoreOpenError(
      `its tables were written by a newer version of Onceward (schema ${found.version}, this one knows ${schemaVersion}): upgrade onceward`,
    )
}

function versionOf(database: SqliteDatabase, table: string): { version: unknown; readableBy: unknown } | undefined {
  try {
    return database.prepare(named(VERSION, table)).get() as { version: unknown; readableBy: unknown } | undefined
  } catch (error) {
    if (sqliteCode(error) === 'ERROR') return undefined
    throw error
  }
}

/** Undoes the transaction. After some errors SQLite has done so itself; the error that led here must not be hidden by another. */
export function rollBack(database: SqliteDatabase): void {
  try {
    database.exec('ROLLBACK')
  } catch {
    // Nothing was left to undo.
  }
}

/** SQLite's primary result codes that lead to different answers; see sqlite.org/rescode.html. */
const codes = {
  1: 'ERROR',
  5: 'BUSY',
  8: 'READONLY',
  10: 'IOERR',
  11: 'CORRUPT',
  13: 'FULL',
  14: 'CANTOPEN',
  15: 'PROTOCOL',
  18: 'TOOBIG',
  19: 'CONSTRAINT',
  20: 'MISMATCH',
  26: 'NOTADB',
} as const

/** A primary result code by its name. */
export type SqliteCode = (typeof codes)[keyof typeof codes]

/** The primary result code of an error: `errcode` of `node:sqlite`, `code` of better-sqlite3; undefined for any other error. */
export function sqliteCode(error: unknown): SqliteCode | undefined {
  if (!(error instanceof Error)) return undefined
  if ('errcode' in error && typeof error.errcode === 'number') return codes[(error.errcode & 0xff) as keyof typeof codes]
  const word = 'code' in error && typeof error.code === 'string' ? /^SQLITE_([A-Z]+)/.exec(error.code)?.[1] : undefined
  return Object.values(codes).find((code) => code === word)
}

const remedies: Partial<Record<SqliteCode, string>> = {
  ERROR: "its tables are not as Onceward made them: restore them, or give another name as 'table'",
  BUSY: 'another process has it locked: end that process, or raise busyTimeout',
  CANTOPEN: 'check that its directory exists, that it is a file, and that this process may write to both',
  READONLY: 'make the file and its directory writable; WAL keeps two files beside it',
  NOTADB: 'it is not a SQLite database: give another path',
  CORRUPT: 'it is damaged: restore it from a backup, or give another path',
  FULL: 'the disk is full: free space',
  IOERR: 'the disk failed: check it, and that the file is on a local file system',
}

/** Another connection is in the way for now: nothing was done, and the same can be tried again. */
export function isLocked(error: unknown): boolean {
  const code = sqliteCode(error)
  return code === 'BUSY' || code === 'PROTOCOL'
}

/** What opening failed with, as callers see it. */
export function openError(path: string, error: unknown): StoreOpenError | ClosedError {
  if (error instanceof ClosedError) return error
  if (error instanceof StoreOpenError) return new StoreOpenError(`SQLite file '${path}' cannot be used: ${error.message}`)
  const message = error instanceof Error ? error.message : String(error)
  // A driver's own error is about the path: better-sqlite3 looks at the directory before it calls SQLite.
  const remedy = remedies[sqliteCode(error) ?? 'CANTOPEN'] ?? 'look at the file with the sqlite3 shell, or give another path'
  return new StoreOpenError(`SQLite file '${path}' cannot be opened (${message}): ${remedy}`, { cause: error })
}
