import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Outcome } from '../../src/core/record.ts'
import type { Claim, Settlement } from '../../src/core/transitions.ts'
import { sqlite, type SqliteDatabase, type SqliteDriver, type SqliteOptions, type SqliteValue } from '../../src/stores/sqlite.ts'
import type { Store } from '../../src/core/store.ts'

/** better-sqlite3 is built for each machine: where it could not be, the tests run on `node:sqlite` alone. */
const betterSqlite: SqliteDriver | null = await import('better-sqlite3').then(
  ({ default: Database }) => Database,
  () => null,
)

/** The drivers there are. */
export const drivers: readonly { readonly name: string; readonly driver: SqliteDriver }[] = [
  { name: 'node:sqlite', driver: DatabaseSync },
  ...(betterSqlite === null ? [] : [{ name: 'better-sqlite3', driver: betterSqlite }]),
]

const cleanUps = new WeakMap<TestContext, (() => unknown)[]>()

/** Undoes in the opposite order: what lies on a disk is closed before the disk goes. */
function afterwards(t: TestContext, undo: () => unknown): void {
  const undos = cleanUps.get(t) ?? []
  if (undos.length === 0)
    t.after(async () => {
      for (const each of undos.toReversed()) await each()
    })
  cleanUps.set(t, undos)
  undos.push(undo)
}

/** A directory of its own, removed after the test. */
export function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'onceward-'))
  afterwards(t, () => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The path of a file of its own, removed after the test. */
export function newFile(t: TestContext): string {
  return join(directory(t), 'onceward.db')
}

/** An open store, closed after the test. */
export async function opened(t: TestContext, file: string, options: SqliteOptions = {}): Promise<Store> {
  const store = sqlite(file, options)
  await store.open()
  afterwards(t, async () => store.close())
  return store
}

/** A connection beside the store's, as another process has it; closed after the test. */
export function connection(t: TestContext, file: string, driver: SqliteDriver): SqliteDatabase {
  const database = new driver(file)
  afterwards(t, () => database.close())
  return database
}

/** A claim of the key's operation by an owner of its own. */
export function claimOf(key: string, changes: Partial<Claim> = {}): Claim {
  const scope = changes.scope ?? 'acme'
  const name = changes.name ?? 'charge'
  const interrupted = { answered: 'retry', thrown: 'retry', lapsed: 'retry' } as const
  return {
    id: sha256(JSON.stringify([scope, name, key])),
    scope,
    name,
    key,
    fingerprint: sha256('input'),
    owner: randomUUID(),
    leaseMs: 10_000,
    policy: { ttlMs: 86_400_000, rememberMs: 0, interrupted, attemptsMax: 10 },
    ...changes,
  }
}

/** Resolves to what the store shows of the claims: their states, null where there is nothing. */
export async function statesOf(store: Store, claims: readonly { readonly id: string }[]): Promise<(string | null)[]> {
  const views = await store.find(claims.map(({ id }) => id))
  return views.map((view) => view?.state ?? null)
}

/** The completion of the claim's first attempt. */
export function completionOf({ id, owner }: Claim, body: Uint8Array | string = 'done', meta = 'text'): Settlement {
  return { kind: 'complete', id, attempt: 1, owner, outcome: outcomeOf(body, meta) }
}

export function outcomeOf(body: Uint8Array | string, meta = 'text'): Outcome {
  return { kept: true, meta, body: typeof body === 'string' ? new TextEncoder().encode(body) : body }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** What a test sees of a connection, and where it puts a stick between its spokes. */
export interface Tap {
  /** Called with the text of every statement before it runs; what it throws the statement throws. */
  readonly before?: (sql: string) => void
  /** Told of a statement that was executed, and may fail it. */
  readonly after?: (sql: string) => void
  /** Called with the connection itself. */
  readonly opened?: (database: SqliteDatabase) => void
}

/** The driver, with every statement told to the tap. */
export function tapped(driver: SqliteDriver, { before, after, opened: toldOf }: Tap): SqliteDriver {
  return class implements SqliteDatabase {
    readonly #database: SqliteDatabase
    constructor(path: string) {
      this.#database = new driver(path)
      toldOf?.(this.#database)
    }
    exec(sql: string): unknown {
      before?.(sql)
      const result = this.#database.exec(sql)
      after?.(sql)
      return result
    }
    prepare(sql: string): ReturnType<SqliteDatabase['prepare']> {
      const statement = this.#database.prepare(sql)
      const told =
        <Result>(call: (...values: SqliteValue[]) => Result) =>
        (...values: SqliteValue[]): Result => {
          before?.(sql)
          return call.apply(statement, values)
        }
      return { run: told(statement.run), get: told(statement.get), all: told(statement.all) }
    }
    close(): unknown {
      return this.#database.close()
    }
  }
}

/** An error as either driver throws it. */
export function sqliteError(code: 'SQLITE_BUSY' | 'SQLITE_IOERR_FSYNC', errcode: number): Error {
  return Object.assign(new Error(`${code} for this test`), { code, errcode })
}

/** A file system of `bytes` in memory, unmounted after the test; a reason, in words, where the machine refuses. */
export function smallDisk(t: TestContext, bytes: number): { readonly path: string } | { readonly refused: string } {
  const path = directory(t)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    return { refused: 'this machine does not let the test mount a small file system' }
  }
  afterwards(t, () => execFileSync('umount', ['-l', path]))
  return { path }
}
