// npm run fuzz -- COUNT SEED …: more conversations than the tests hold, with every framework of the fixture, or with the fixture's options
// that follow: npm run fuzz -- 100000 7 --framework express --store sqlite:./fuzz.db
import { frameworks } from '../../fixture/options.ts'
import { fuzz } from './fuzz.ts'

const [count = '100000', given = String(Date.now() % 1_000_000), ...options] = process.argv.slice(2)
const [conversations, seed] = [Number(count), Number(given)]
const runs = options.includes('--framework') ? [options] : frameworks.map((framework) => ['--framework', framework, ...options])

for (const args of runs) {
  const began = performance.now()
  const { violations, counts, memoryMax } = await fuzz({ seed, conversations, args })
  const seconds = ((performance.now() - began) / 1_000).toFixed(1)
  console.log(
    `${args.join(' ')}: seed ${seed}, ${conversations} conversations in ${seconds} s, ${memoryMax.toFixed(0)} MiB`,
    counts,
  )
  for (const violation of violations.slice(0, 50)) console.log(violation)
  if (violations.length > 0) process.exitCode = 1
}
