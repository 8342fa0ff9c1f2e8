// Runs the tests, or the files and globs given, against the sources: `npm test`, `npm test -- test/core/*.test.ts`.
// Prints Node's own report, which servers are missing here and so were not tested on, and then, as the last line, `N passed, N failed`,
// with `, N skipped` when there are any.
import { spawnSync } from 'node:child_process'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

// Everything a test starts (servers, workers, examples) sees the sources too. Before 22.18 Node strips types only when told to.
const stripTypes = process.features.typescript ? [] : ['--experimental-strip-types', '--disable-warning=ExperimentalWarning']
process.env.NODE_OPTIONS = [process.env.NODE_OPTIONS ?? '', '--conditions=onceward-source', ...stripTypes].join(' ').trim()

const given = process.argv.slice(2)
const tests = run({
  globPatterns: given.length > 0 ? given : ['test/**/*.test.ts'],
  // Many tests wait on disks, sockets and child processes, so that two files keep a machine of two cores busy.
  concurrency: 2,
  // A hang ends as a failure that names its test; a file whose process does not end, with the whole run.
  timeout: 120_000,
  signal: AbortSignal.timeout(45 * 60_000),
})

const totals = { passed: 0, failed: 0, skipped: 0 }
tests.on('test:summary', ({ file, counts }) => {
  if (file !== undefined) return
  totals.passed = counts.passed
  totals.failed = counts.failed + counts.cancelled
  totals.skipped = counts.skipped + counts.todo
})

for await (const text of tests.compose(new spec())) process.stdout.write(text)
// In a process of its own: this one may not understand types.
const missing = spawnSync(process.execPath, ['scripts/missing-servers.ts'], { encoding: 'utf8' })
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''
console.log(
  `\n${missing.stdout}${missing.stderr}Node ${process.version}\n${totals.passed} passed, ${totals.failed} failed${skipped}`,
)

// A pattern that meets no test is a mistake, not a success.
if (totals.failed > 0 || totals.passed === 0) process.exitCode = 1
