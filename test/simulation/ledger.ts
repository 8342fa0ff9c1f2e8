import type { InterruptedRule } from 'onceward'
import type { Grant, Seen } from './observer.ts'

/** One start of a handler, with the effect that has. */
export interface Execution {
  readonly key: string
  readonly process: string
  readonly attempt: number
  /** What it answers: another one for every execution. */
  readonly value: string
}

/** What was executed and what clients were told, and what must never be among it. */
export class Ledger {
  readonly #violation: (what: string) => void
  readonly #executions: Execution[] = []
  /** Owners whose attempt was executed. */
  readonly #executed = new Set<string>()
  /** By key: what each client was told. */
  readonly #answers = new Map<string, Map<string, string>>()

  constructor(violation: (what: string) => void) {
    this.#violation = violation
  }

  get keys(): Iterable<string> {
    return this.#answers.keys()
  }

  /** A handler starts: its attempt must be the one that the store granted, under a lease that is live, and not have started before. */
  executed(execution: Execution, grant: Grant | null, now: number): void {
    const { value, process, attempt } = execution
    this.#executions.push(execution)
    if (grant === null || grant.attempt !== attempt || !grant.owner.startsWith(`${process}#`) || grant.ended !== null)
      return this.#violation(`${value} began in ${process} as attempt ${attempt}, but the store granted ${JSON.stringify(grant)}`)
    if (grant.until <= now) this.#violation(`${value} began after the lease of ${grant.owner} had lapsed`)
    if (this.#executed.has(grant.owner)) this.#violation(`${value} began, though ${grant.owner} was executed before`)
    this.#executed.add(grant.owner)
  }

  /** A client has its answer: every client of a key the same, or that the key was used for another input. */
  answered({ name, key }: { readonly name: string; readonly key: string }, answer: string): void {
    const answers = this.#answers.get(key) ?? new Map<string, string>()
    this.#answers.set(key, answers.set(name, answer))
    const outcomes = new Set([...answers.values()].filter((each) => each !== 'mismatch'))
    if (outcomes.size > 1) this.#violation(`${key} was answered in different ways: ${[...outcomes].join(' / ')}`)
  }

  /** In the end: what was told is what is recorded, some execution gave it, and none was without a grant. */
  check(key: string, { outcome, grants }: Seen, interrupted: InterruptedRule): void {
    const told = [...(this.#answers.get(key)?.values() ?? [])].find((answer) => answer !== 'mismatch')
    if (told !== undefined && told !== `outcome ${outcome}`)
      this.#violation(`${key} was answered with ${told}, but ${outcome} is recorded`)
    const executions = this.#executions.filter((each) => each.key === key)
    if (executions.length > grants) this.#violation(`${key} was executed ${executions.length} times, but granted ${grants} times`)
    if (interrupted === 'hold' && executions.length > 1)
      this.#violation(`${key} was executed ${executions.length} times, though an interrupted attempt holds it`)
    const isExplained = outcome === null || outcome.includes('resolved by') || executions.some(({ value }) => value === outcome)
    if (!isExplained) this.#violation(`${key} has an outcome that no execution gave: ${outcome}`)
  }
}
