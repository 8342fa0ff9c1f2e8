import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { filesIn, root, sources, textOf } from '../structure/source.ts'

/** A ```ts block of a page or of a doc comment. */
interface Example {
  readonly page: string
  /** The line of its fence. */
  readonly line: number
  /** What stands behind `ts`: nothing, or `no-run` where running it would need what no test has. */
  readonly flags: string
  readonly code: string
}

interface Ended {
  readonly exit: number | null
  /** Its end, from stdout and stderr. */
  readonly output: string
}

const examplesFolder = join(root, '.cache', 'doc-examples')
const runMsMax = 20_000

function examplesOf(page: string): Example[] {
  return Array.from(plain(page).matchAll(/^```ts\b ?(.*)\n([^]*?)^```$/gm), ({ 1: flags = '', 2: code = '', index }) => {
    const line = plain(page).slice(0, index).split('\n').length
    return { page, line, flags, code }
  })
}

/** The text of a page; of a source file its doc comments, without their margin. Lines keep their numbers. */
function plain(page: string): string {
  return page.endsWith('.md') ? textOf(page) : textOf(page).replace(/^ *\* ?/gm, '')
}

/** An example's own file. Its lines have the numbers they have on the page, so that the compiler's messages point there. */
function fileOf({ page, line }: Example): string {
  return join(examplesFolder, `${page.replaceAll('/', '-')}-${line}.ts`)
}

function writeExamples(examples: readonly Example[]): void {
  rmSync(examplesFolder, { recursive: true, force: true })
  mkdirSync(examplesFolder, { recursive: true })
  for (const example of examples) writeFileSync(fileOf(example), '\n'.repeat(example.line) + example.code)
  const compilerOptions = { moduleDetection: 'force', declaration: false, isolatedDeclarations: false }
  writeFileSync(
    join(examplesFolder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'] }),
  )
}

/** Runs Node until it ends, or for as long as an example may take. */
async function runNode(args: readonly string[], cwd: string): Promise<Ended> {
  // An example of the contract suite runs tests of its own, and reports them to people rather than to the runner of these.
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env
  const child = spawn(process.execPath, args, { cwd, timeout: runMsMax, stdio: ['ignore', 'pipe', 'pipe'], env: environment })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exit) => resolve({ exit, output: output.slice(-4_000) }))
  })
}

async function runExample(example: Example): Promise<void> {
  const cwd = mkdtempSync(join(tmpdir(), 'onceward-doc-'))
  const preload = pathToFileURL(join(root, 'test', 'docs', 'let-servers-go.ts')).href
  try {
    const { exit, output } = await runNode(['--conditions=onceward-source', `--import=${preload}`, fileOf(example)], cwd)
    assert.equal(exit, 0, exit === null ? `still running after ${runMsMax} ms:\n${output}` : output)
  } finally {
    rmSync(cwd, { recursive: true, force: true })
  }
}

const markdown = [
  ...filesIn('.').filter((file) => /^[^/]+\.md$/.test(file)),
  ...filesIn('docs').filter((file) => file.endsWith('.md')),
]
const examples = [...markdown, ...sources()].flatMap(examplesOf)

test('every TypeScript example of the documentation is fenced as ts, so that it is compiled and run', () => {
  const others = markdown.filter((page) => /^ *```(typescript|javascript|js|mjs|tsx)\b/m.test(textOf(page)))
  assert.deepEqual(others, [])
  assert.ok(examples.some(({ page }) => page === 'README.md'))
  assert.deepEqual(
    examples.filter(({ flags }) => !['', 'no-run'].includes(flags)),
    [],
  )
})

test('every example of the documentation compiles', async () => {
  writeExamples(examples)
  const { exit, output } = await runNode(
    [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(examplesFolder, 'tsconfig.json')],
    root,
  )
  assert.equal(exit, 0, output)
})

describe('runs and ends by itself:', { concurrency: 2 }, () => {
  for (const example of examples.filter(({ flags }) => flags !== 'no-run'))
    test(`the example of ${example.page}, line ${example.line}`, () => runExample(example))
})
