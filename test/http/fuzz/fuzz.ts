import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connected } from '../../../src/testing/http/ask.ts'
import { AnswerReader, type RawAnswer } from './answers.ts'
import { conversationOf, type Conversation } from './conversation.ts'
import { Ledger, type CountedEffect } from './ledger.ts'
import { startChild, type Child } from '../child.ts'

/** How much, from what, against what. */
export interface Fuzzing {
  readonly seed: number
  readonly conversations: number
  /** Of the fixture's command line. */
  readonly args: readonly string[]
}

/** What it came to. */
export interface Fuzzed {
  readonly violations: readonly string[]
  /** Answers by their status, and requests that had none. */
  readonly counts: Readonly<Record<string, number>>
  /** The most memory that the server held, in MiB; 0 where the system does not say. */
  readonly memoryMax: number
}

const connectionsMax = 48
/** Longer than any request may take here: a duplicate waits at most 2 s. */
const answerMsMax = 30_000
/** How long a client waits for what need not be answered. */
const givesUpMs = 20

/** Speaks these conversations with a fixture in a process of its own, and compares what it answered with what it did. */
export async function fuzz({ seed, conversations, args }: Fuzzing): Promise<Fuzzed> {
  const child = await startChild(['--wait-ms', '2000', ...args])
  const ledger = new Ledger()
  let complaints = ''
  child.process.stderr?.on('data', (chunk) => (complaints += String(chunk)))
  let next = 0
  let memoryMax = 0
  const speaker = async (): Promise<void> => {
    while (next < conversations && ledger.violations.length === 0 && child.process.exitCode === null) {
      const number = next
      next += 1
      await converse(child, number, conversationOf(seed, number), ledger)
      if (number % 500 === 0) memoryMax = Math.max(memoryMax, memoryOf(child))
    }
  }
  await Promise.all(Array.from({ length: connectionsMax }, speaker))
  await finish(child, ledger)
  if (complaints !== '') ledger.violations.push(`the server complained: ${complaints.slice(0, 2_000)}`)
  return { violations: ledger.violations, counts: ledger.counts, memoryMax }
}

/** What must hold when nobody speaks any more: it answers, every effect is accounted for, and nothing keeps it from ending. */
async function finish(child: Child, ledger: Ledger): Promise<void> {
  if (child.process.exitCode !== null || child.process.signalCode !== null) {
    ledger.violations.push('the server died')
    return
  }
  await settled(child)
  const answer = await child.ask({ method: 'GET', path: '/effects' })
  ledger.done(JSON.parse(answer.body.toString('utf8')) as CountedEffect[])
  const ended = await Promise.race([child.end('SIGTERM'), sleep(answerMsMax, 'never', { ref: false })])
  if (ended !== 0) ledger.violations.push(`the server ended with ${ended} when it was asked to`)
  if (ended === 'never') child.process.kill('SIGKILL')
}

/** Handlers of clients that went away may still be at work: their effects stop coming. */
async function settled(child: Child): Promise<void> {
  let before = -1
  for (let now = await child.effects(); now !== before; now = await child.effects()) {
    before = now
    await sleep(300)
  }
}

async function converse(child: Child, number: number, conversation: Conversation, ledger: Ledger): Promise<void> {
  ledger.asked(conversation)
  try {
    ledger.answered(number, conversation, await spoken(child.url, conversation))
  } catch (error) {
    ledger.violations.push(`conversation ${number}: ${String(error)}`)
  }
}

async function spoken(url: string, conversation: Conversation): Promise<readonly RawAnswer[]> {
  const { requests, pieces, pauseMs, end } = conversation
  const socket = await connected(url)
  const reader = new AnswerReader(requests.map(({ method }) => method))
  const { promise: over, resolve, reject } = Promise.withResolvers<void>()
  const owed = end === 'wait' ? requests.filter(({ expectation }) => expectation !== 'broken').length : 0
  const isOver = (): boolean => reader.answers.length >= requests.length
  socket.on('data', (chunk: Buffer) => {
    try {
      reader.add(chunk)
      if (isOver()) resolve()
    } catch (error) {
      reject(error)
    }
  })
  socket.on('error', () => {})
  socket.once('close', () => resolve())
  try {
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) await sleep(pauseMs)
      if (!socket.destroyed) socket.write(piece)
    }
    if (end === 'halfClose') socket.end()
    if (end !== 'abort') await answered(over, reader, owed)
  } finally {
    socket.destroy()
  }
  reader.end()
  return reader.answers
}

/** Waits for the answers that are owed, and a little for the others. */
async function answered(over: Promise<void>, { answers }: AnswerReader, owed: number): Promise<void> {
  const bound = new AbortController()
  const patience = async (): Promise<void> => {
    const until = performance.now() + answerMsMax
    while (answers.length < owed && performance.now() < until) await sleep(5, undefined, { signal: bound.signal })
    await sleep(givesUpMs, undefined, { signal: bound.signal })
  }
  await Promise.race([over, patience()]).finally(() => bound.abort())
}

function memoryOf({ process: { pid } }: Child): number {
  if (process.platform !== 'linux') return 0
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024
}
