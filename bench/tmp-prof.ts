import { Child } from './child.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import type { LoadApi } from './servers/load.ts'
import type { ExpressApi } from './servers/express.ts'
// usage: tmp-prof <place> <new|replay> <rounds> <requests>
const [place = 'before', kind = 'new', rounds = '8', n = '4000'] = process.argv.slice(2)
const profiles = process.env['P']
const load = new Child<LoadApi>('load')
if (profiles) process.env['BENCH_PROFILES'] = profiles
const dir = mkdtempSync('/tmp/ow-prof-')
const s = new Child<ExpressApi>('express', place, dir + '/x.db', kind)
const port = await s.ask('port')
const out = []
for (let i = 0; i < +rounds; i++) {
  const a = await s.ask('use')
  const r = await load.ask('send', { port, series: kind === 'new' ? i : 0, requests: +n })
  const b = await s.ask('use')
  out.push([Math.round((b.cpuUs - a.cpuUs) / +n), Math.round((+n / r.wallMs) * 1000), +r.p50.toFixed(1), +r.p99.toFixed(1)])
}
console.log(place, kind, JSON.stringify(out))
await s.stop()
await load.stop()
rmSync(dir, { recursive: true })
