import cliProgress from 'cli-progress'
import type { Run } from './client.ts'

const LABEL_WIDTH = 34
const COLUMN_WIDTH = 16

/** Shows how far a run has come. */
export interface Progress {
  /** One more payment has been answered. */
  step(): void
  stop(): void
}

/** A bar on a terminal; elsewhere a line at every quarter. */
export function progress(label: string, total: number): Progress {
  return process.stdout.isTTY ? bar(label, total) : lines(label, total)
}

function bar(label: string, total: number): Progress {
  const format = `  ${label.padEnd(16)} [{bar}] {percentage} %  {value}/{total}`
  const shown = new cliProgress.SingleBar(
    { format, stream: process.stdout, barsize: 30, barCompleteChar: '=', barIncompleteChar: ' ', hideCursor: true, fps: 10 },
    cliProgress.Presets.legacy,
  )
  shown.start(total, 0)
  return { step: () => shown.increment(), stop: () => shown.stop() }
}

function lines(label: string, total: number): Progress {
  let answered = 0
  const step = (): void => {
    answered += 1
    if (answered % Math.ceil(total / 4) === 0) console.log(`  ${label.padEnd(16)} ${Math.round((100 * answered) / total)} %`)
  }
  return { step, stop: () => undefined }
}

/** The two runs beside each other, 68 columns wide. */
export function table(once: Run, bare: Run): string {
  const row = (label: string, value: (run: Run) => string): string => line(label, value(once), value(bare))
  return [
    line('', 'with Onceward', 'without it'),
    `  ${'-'.repeat(LABEL_WIDTH + 2 * COLUMN_WIDTH)}`,
    row('Payments intended', (run) => count(run.intended)),
    row('Requests sent', (run) => count(run.sent)),
    row('  lost on the way', (run) => count(run.requestsLost)),
    row('  delayed', (run) => count(run.delayed)),
    row('  doubled', (run) => count(run.doubled)),
    row('Requests that reached the API', (run) => count(run.reached)),
    row('Answers lost, or too late', (run) => count(run.answersLost)),
    row('Duplicates absorbed', (run) => count(run.reached - run.charges)),
    row('Charges made', (run) => count(run.charges)),
    row('Money charged, EUR', (run) => money(run.cents)),
  ].join('\n')
}

/** What the difference means. */
export function verdict(once: Run, bare: Run): string {
  const wrong = once.charges === once.intended ? '' : '  With Onceward the count is wrong: please report it, with the seed.\n'
  const extra = bare.charges - bare.intended
  return `${wrong}  Without Onceward: ${count(extra)} charges too many, ${money(bare.cents - once.cents)} EUR too much.`
}

function line(label: string, ...values: readonly string[]): string {
  return `  ${label.padEnd(LABEL_WIDTH)}${values.map((value) => value.padStart(COLUMN_WIDTH)).join('')}`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function money(cents: number): string {
  return (cents / 100).toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
}
