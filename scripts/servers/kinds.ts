import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { programPath } from './server.ts'

/** A server that tests start, and where it comes from. */
export interface ServerKind {
  readonly name: string
  /** Debian's and Ubuntu's package that has its programs. */
  readonly package: string
  readonly programs: readonly string[]
  /** Where they are, if not in `PATH`. */
  readonly directories?: () => readonly string[]
}

/** Every one. */
export const serverKinds: Readonly<Record<'postgres' | 'mariadb' | 'redis' | 'pgbouncer', ServerKind>> = {
  postgres: {
    name: 'Postgres',
    package: 'postgresql',
    programs: ['initdb', 'postgres'],
    directories: () => newestFirst('/usr/lib/postgresql'),
  },
  mariadb: { name: 'MariaDB', package: 'mariadb-server', programs: ['mariadbd', 'mariadb-install-db'] },
  redis: { name: 'Redis', package: 'redis-server', programs: ['redis-server'] },
  pgbouncer: { name: 'pgbouncer', package: 'pgbouncer', programs: ['pgbouncer'] },
}

/** The paths of its programs, in their order; undefined where one is missing. */
export async function programsOf({ programs, directories }: ServerKind): Promise<readonly string[] | undefined> {
  const paths = await Promise.all(programs.map(async (name) => programPath([name], directories?.())))
  return paths.every((path) => path !== undefined) ? paths : undefined
}

/** Why what needs it is not run here. */
export function notRun({ name, package: needed }: ServerKind): string {
  return `not run: ${name}: install ${needed}`
}

/** Those whose programs this machine lacks. */
export async function missingServers(): Promise<readonly ServerKind[]> {
  const kinds = Object.values(serverKinds)
  const found = await Promise.all(kinds.map(programsOf))
  return kinds.filter((_, index) => found[index] === undefined)
}

/** Each version has a directory of its own. */
function newestFirst(directory: string): readonly string[] {
  try {
    const versions = readdirSync(directory)
    return versions.toSorted((a, b) => Number(b) - Number(a)).map((version) => join(directory, version, 'bin'))
  } catch {
    return [] // There is none.
  }
}
