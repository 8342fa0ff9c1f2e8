// npm run bench                 every benchmark
// npm run bench express sqlite  those
// npm run bench quick           shows in seconds that they run; the numbers then say little
// What is compared, and what came out: bench/README.md.
import { cpus, loadavg } from 'node:os'
import { effects } from './effects.ts'
import { express } from './express.ts'
import { http } from './http.ts'
import { million } from './million.ts'
import { onceRun } from './once-run.ts'
import { printed, type Bench, type Scale } from './report.ts'
import { stores } from './stores.ts'
import { storesHttp } from './stores-http.ts'
import { storesLarge } from './stores-large.ts'
import { sqliteBench } from './sqlite.ts'

const benches: readonly Bench[] = [onceRun, sqliteBench, stores, storesHttp, effects, express, http, million, storesLarge]

const words = process.argv.slice(2)
const scale: Scale = words.includes('quick') ? 'quick' : 'full'
const names = words.filter((word) => word !== 'quick')
const unknown = names.find((name) => !benches.some((bench) => bench.name === name))

if (unknown === undefined) await runAll(benches.filter(({ name }) => names.length === 0 || names.includes(name)))
else {
  console.error(
    `There is no benchmark '${unknown}': there are ${[...new Set(benches.map(({ name }) => name))].join(', ')}, and the word quick.`,
  )
  process.exitCode = 1
}

/** One after the other: they would disturb each other. */
async function runAll(chosen: readonly Bench[]): Promise<void> {
  console.log(surroundings())
  for (const bench of chosen) console.log(printed(bench, await bench.run(scale)))
}

/** What the numbers depend on. A load before anything has begun is somebody else's, and makes them worthless. */
function surroundings(): string {
  const [load = 0] = loadavg()
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, load ${load.toFixed(2)}`
  const busy = load > 0.5 ? '\nThe machine is busy with something else: compare nothing with these numbers.' : ''
  return `${machine}${scale === 'quick' ? '\nQuick: everything is small, and the numbers say little.' : ''}${busy}`
}
