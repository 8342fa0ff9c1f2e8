import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's folder. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url))

const notOurs = new Set(['node_modules', 'dist', '.git', '.cache'])

/** Every file below a folder of the repository, with `/` between folders, relative to the repository. */
export function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => !notOurs.has(name))
    .flatMap((entry) => {
      const path = posix.join(folder, entry.name)
      return entry.isDirectory() ? filesIn(path) : [path]
    })
    .toSorted()
}

/** The TypeScript files of the library. */
export function sources(): string[] {
  return filesIn('src').filter((file) => file.endsWith('.ts'))
}

/** A file's text. */
export function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8').replaceAll('\r\n', '\n')
}

/** A file's text with its comments blanked out, lines kept. Strings that hold `//` behind a space do not occur in formatted sources. */
export function codeOf(file: string): string {
  return textOf(file)
    .replace(/\/\*[^]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '$1')
}

/** One module that a file names, and how. */
export interface Import {
  readonly specifier: string
  /** `type` leaves no trace in what runs. */
  readonly kind: 'import' | 'type' | 'reexport' | 'dynamic'
}

const kinds: Readonly<Record<string, Import['kind']>> = { 'import type': 'type', export: 'reexport' }

/** Every module a text names: imports and re-exports, of types too, and `import('…')`. */
export function importsOf(file: string): Import[] {
  const code = codeOf(file)
  const statements = code.matchAll(/^(import type|import|export)\b(?:[^'"]*?\sfrom)?\s*['"]([^'"]+)['"]/gm)
  const dynamic = code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)
  return [
    ...Array.from(statements, ([, words = '', specifier = '']): Import => ({ specifier, kind: kinds[words] ?? 'import' })),
    ...Array.from(dynamic, ([, specifier = '']): Import => ({ specifier, kind: 'dynamic' })),
  ]
}

/** The repository's file that a relative specifier means. */
export function resolved(file: string, specifier: string): string {
  return relative(root, join(root, dirname(file), specifier))
    .split(sep)
    .join('/')
}

/** What an entry of the package's `exports` stands for. */
export interface EntryPoint {
  /** As it is imported: `onceward/sqlite`. */
  readonly name: string
  readonly conditions: Readonly<Record<string, string>>
}

interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly [field: string]: unknown
}

/** The package's own description of itself. */
export const manifest: Manifest = JSON.parse(textOf('package.json'))

/** The entry points that are modules: all but `package.json`. */
export const entryPoints: readonly EntryPoint[] = Object.entries(manifest.exports).flatMap(([path, conditions]) =>
  typeof conditions === 'string' ? [] : [{ name: posix.join('onceward', path), conditions }],
)

/** The source file of an entry point. */
export function sourceOf({ conditions }: EntryPoint): string {
  return posix.normalize(conditions['onceward-source'] ?? 'missing')
}
