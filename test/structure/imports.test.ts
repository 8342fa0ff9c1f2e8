import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf, entryPoints, importsOf, resolved, sourceOf, sources } from './source.ts'

/** What each layer may import, besides itself. Stores, bridges and doors never see each other. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  engine: ['core'],
  stores: ['core'],
  bridges: ['core'],
  http: ['core', 'engine'],
  telemetry: ['core', 'engine'],
  testing: ['core'],
  // index.ts and platform.ts, the places where the layers are put together.
  root: ['core', 'engine', 'bridges'],
}

/** Run where Node's modules are not. */
const everywhere = ['core', 'engine', 'http', 'bridges']

const layerOf = (file: string): string => /^src\/([^/]+)\//.exec(file)?.[1] ?? 'root'
const isRelative = (specifier: string): boolean => specifier.startsWith('.')
const edgesOf = (file: string): string[] =>
  importsOf(file).flatMap(({ specifier }) => (isRelative(specifier) ? [resolved(file, specifier)] : []))

test('every folder of src is a layer with a rule of its own', () => {
  const layers = new Set(sources().map(layerOf))
  assert.deepEqual(
    [...layers].filter((layer) => !(layer in mayImport)),
    [],
  )
})

test('arrows between the layers point at core', () => {
  const wrong = sources().flatMap((file) => {
    const allowed = [layerOf(file), ...(mayImport[layerOf(file)] ?? [])]
    return edgesOf(file)
      .filter((target) => !allowed.includes(layerOf(target)))
      .map((target) => `${file} → ${target}`)
  })
  assert.deepEqual(wrong, [])
})

test('every relative import names a file of src, with its ending', () => {
  const known = new Set(sources())
  const wrong = sources().flatMap((file) => edgesOf(file).flatMap((target) => (known.has(target) ? [] : [`${file} → ${target}`])))
  assert.deepEqual(wrong, [])
})

test('a store is readable alone: no store imports another', () => {
  const stores = sources().filter((file) => layerOf(file) === 'stores')
  const database = (file: string): string => /^src\/stores\/([^-./]+)/.exec(file)?.[1] ?? file
  const wrong = stores.flatMap((file) =>
    edgesOf(file)
      .filter((target) => layerOf(target) === 'stores' && database(target) !== database(file))
      .map((target) => `${file} → ${target}`),
  )
  assert.deepEqual(wrong, [])
})

test('core, engine, http and bridges import no module of Node', () => {
  const wrong = sources()
    .filter((file) => everywhere.includes(layerOf(file)))
    .flatMap((file) => importsOf(file).flatMap(({ specifier }) => (isRelative(specifier) ? [] : [`${file} → ${specifier}`])))
  assert.deepEqual(wrong, [])
})

test('the doors for Request and Response reach nothing that is for the request and response of Node', () => {
  const reached = new Set(['src/http/fetch.ts', 'src/http/hono.ts'])
  for (const file of reached) for (const target of edgesOf(file)) reached.add(target)
  assert.deepEqual(
    [...reached].filter((file) => /\/node[^/]*\.ts$/.test(file)),
    [],
  )
})

test('core, engine and http read no clock', () => {
  const wrong = sources()
    .filter((file) => ['core', 'engine', 'http'].includes(layerOf(file)))
    .filter((file) => /\bDate\.now\b|\bnew Date(\(\)|\b(?!\())|(?<!instanceof |new )\bDate\(|\bperformance\./.test(codeOf(file)))
  assert.deepEqual(wrong, [])
})

test('core, engine and http name Buffer in the adapters for Node, or after asking whether there is one', () => {
  const wrong = sources()
    .filter((file) => ['core', 'engine', 'http'].includes(layerOf(file)))
    .filter((file) => !/^src\/http\/(node|express)[^/]*\.ts$/.test(file))
    .filter((file) => /\bBuffer\b/.test(codeOf(file)) && !/\btypeof Buffer\b/.test(codeOf(file)))
  assert.deepEqual(wrong, [])
})

test('src imports files of src and modules of Node, and fast-check where the contract suite asks for it', () => {
  const wrong = sources().flatMap((file) =>
    importsOf(file)
      .filter(({ specifier }) => !isRelative(specifier) && !specifier.startsWith('node:'))
      .filter(
        ({ specifier, kind }) =>
          !(layerOf(file) === 'testing' && specifier === 'fast-check' && ['dynamic', 'type'].includes(kind)),
      )
      .map(({ specifier }) => `${file} → ${specifier}`),
  )
  assert.deepEqual(wrong, [])
})

test('only public entry points re-export', () => {
  const entries = new Set(entryPoints.map(sourceOf))
  const wrong = sources().filter((file) => !entries.has(file) && importsOf(file).some(({ kind }) => kind === 'reexport'))
  assert.deepEqual(wrong, [])
})

test('no import leads back to its file', () => {
  const edges = new Map(sources().map((file) => [file, edgesOf(file)]))
  const done = new Set<string>()
  const cycleFrom = (file: string, path: readonly string[]): readonly string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const target of edges.get(file) ?? []) {
      const cycle = cycleFrom(target, [...path, file])
      if (cycle !== undefined) return cycle
    }
    done.add(file)
    return undefined
  }
  assert.deepEqual(
    sources().flatMap((file) => cycleFrom(file, []) ?? []),
    [],
  )
})
