import { onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { Session } from 'node:inspector/promises'
import { concurrently } from './measure.ts'
import { handler, input, keyOf } from './work.ts'
const N = 20000
const go = async (r: number) => { const once = onceward({ store: memory() }); await concurrently(32, N, (i) => once.run({ scope: 'acme', name: 'charge', key: keyOf(r, i), input }, handler)); await once.close() }
for (let r = 0; r < 4; r++) await go(r)
const s = new Session(); s.connect()
await s.post('HeapProfiler.startSampling', { samplingInterval: 512, includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true } as never)
await go(5)
const { profile } = await s.post('HeapProfiler.stopSampling') as any
const m = new Map<string, number>(); let total = 0
const walk = (n: any) => { const c = n.callFrame; const k = `${c.functionName || '(anon)'} ${c.url.replace(/.*\/(src|bench)\//, '$1/')}:${c.lineNumber + 1}`; m.set(k, (m.get(k) ?? 0) + n.selfSize); total += n.selfSize; n.children.forEach(walk) }
walk(profile.head)
console.log('bytes/op', (total / N).toFixed(0)); for (const [k, v] of [...m].sort((a, b) => b[1] - a[1]).slice(0, 32)) console.log((v / N).toFixed(0).padStart(6), k)
