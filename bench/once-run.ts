import { onceward } from 'onceward'
import { memory } from 'onceward/memory'
import { concurrently, cpuPerOperation, interleaved, median, min, perSecond, sampled, type Sample } from './measure.ts'
import { short, target, type Bench, type Report, type Scale } from './report.ts'
import { callers, handler, input, keyOf } from './work.ts'

/** What the engine costs where the store costs least. */
export const onceRun: Bench = {
  name: 'run',
  title: `once.run on the memory store against the handler alone, ${callers} callers at once, 50 bytes in, 200 bytes out`,
  run: measure,
}

async function measure(scale: Scale): Promise<Report> {
  const operations = scale === 'full' ? 20_000 : 5_000
  const rounds = await interleaved(scale === 'full' ? { warmUp: 3, measured: 15 } : { warmUp: 1, measured: 3 }, {
    handler: (round) => sampled(operations, () => concurrently(callers, operations, (index) => called(keyOf(round, index)))),
    run: (round) => withOnceward(round, operations),
  })
  const over = rounds.map(({ handler: alone, run }) => cpuPerOperation(run) - cpuPerOperation(alone))
  const row = (name: string, samples: readonly Sample[]): string[] => {
    const cpu = samples.map(cpuPerOperation)
    return [name, short(median(samples.map(perSecond))), short(median(cpu)), short(min(cpu))]
  }
  return {
    notes: [`${rounds.length} rounds of ${operations.toLocaleString('en-US')} operations, a new store each`],
    table: {
      columns: ['', 'operations/s', 'CPU µs/operation', 'least'],
      rows: [
        row(
          'handler alone',
          rounds.map((round) => round.handler),
        ),
        row(
          'once.run, memory',
          rounds.map((round) => round.run),
        ),
        ['over the handler', '', short(median(over)), short(min(over))],
      ],
    },
    targets: [target('CPU an operation over the handler', over, { atMost: 10, unit: ' µs' })],
  }
}

/** The key is made here too, so that both pay for it. */
async function called(_key: string): Promise<void> {
  await handler()
}

/** A new store each round, so that no round has more records to keep than another. */
async function withOnceward(round: number, operations: number): Promise<Sample> {
  const once = onceward({ store: memory() })
  await once.open()
  const sample = await sampled(operations, () =>
    concurrently(callers, operations, (index) =>
      once.run({ scope: 'acme', name: 'charge', key: keyOf(round, index), input }, handler),
    ),
  )
  await once.close()
  return sample
}
