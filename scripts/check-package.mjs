// Packs the build and uses it as a stranger would: installed beside a program, without the sources' condition, without types of
// Node or of anything else. Run after `npm run build`: npm run check:package
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const entries = Object.entries(manifest.exports).filter(([, conditions]) => typeof conditions === 'object')
const names = entries.map(([path]) => posix.join(manifest.name, path))

const program = mkdtempSync(join(tmpdir(), 'onceward-package-'))
const installed = join(program, 'node_modules', manifest.name)
const environment = { ...process.env, NODE_OPTIONS: '' }

/** Runs a program of Node in the stranger's folder; what it prints on stderr is shown. */
function node(...args) {
  return execFileSync(process.execPath, args, { cwd: program, env: environment, encoding: 'utf8' })
}

function unpack() {
  execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', program], {
    cwd: root,
    shell: process.platform === 'win32',
  })
  const [tarball] = readdirSync(program)
  assert.ok(tarball)
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1'], { cwd: program })
}

function checkFiles() {
  assert.deepEqual(readdirSync(installed).toSorted(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'package.json', 'src'])
  for (const target of entries.flatMap(([, conditions]) => Object.values(conditions)))
    assert.ok(existsSync(join(installed, target)), `${target} is not in the package`)
}

function checkRun() {
  const imports = names.map((name, index) => `import * as entry${index} from '${name}'\nassert.ok(entry${index})`)
  const requires = names.map((name) => `assert.ok(createRequire(import.meta.url)('${name}'))`)
  writeFileSync(
    join(program, 'run.mjs'),
    `import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
${[...imports, ...requires].join('\n')}
import { onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { sqlite } from 'onceward/sqlite'
for (const store of [memory(), sqlite('onceward.db')]) {
  const once = onceward({ store })
  let ran = 0
  const charge = () => once.run({ scope: 'shop', name: 'charge', key: 'k1' }, () => (ran += 1))
  assert.deepEqual([await charge(), await charge(), ran], [1, 1, 1])
  await once.close()
}
`,
  )
  node('run.mjs')
}

/** The suites for tests speak of Node's sockets: whoever runs them has its types. Nothing else needs them. */
const forTests = ['onceward/testing']

function checkTypes() {
  checkTypesOf(
    names.filter((name) => !forTests.includes(name)),
    {},
  )
  checkTypesOf(forTests, { types: ['node'], typeRoots: [join(root, 'node_modules/@types')] })
}

function checkTypesOf(some, options) {
  writeFileSync(
    join(program, 'types.ts'),
    some.map((name, index) => `import type * as entry${index} from '${name}'\nexport type { entry${index} }`).join('\n'),
  )
  const compilerOptions = {
    target: 'es2024',
    lib: ['es2024', 'dom'],
    types: [],
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    ...options,
  }
  writeFileSync(join(program, 'package.json'), JSON.stringify({ type: 'module' }))
  writeFileSync(join(program, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['types.ts'] }))
  node(join(root, 'node_modules/typescript/bin/tsc'))
}

try {
  unpack()
  checkFiles()
  checkRun()
  checkTypes()
  console.log(`the package works as installed, on Node ${process.version}: ${names.join(', ')}`)
} catch (error) {
  if (error instanceof Error && 'stdout' in error) console.error(String(error.stdout))
  throw error
} finally {
  rmSync(program, { recursive: true, force: true })
}
