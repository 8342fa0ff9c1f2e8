import type { Subject } from './subject.ts'

/** One sentence of what an HTTP door must show. */
export interface Behaviour {
  readonly name: string
  /** A safety behaviour admits no deviation: without it an operation happens twice, or an answer is lost or another's. */
  readonly safety: boolean
  /** The command line of the fixture that shows it. */
  readonly args: readonly string[]
  readonly show: (subject: Subject) => Promise<void>
}

/** A sentence that no adapter may deviate from. */
export function safety(name: string, args: readonly string[], show: Behaviour['show']): Behaviour {
  return { name, safety: true, args, show }
}

/** A sentence that an adapter may deviate from, with a reason. */
export function courtesy(name: string, args: readonly string[], show: Behaviour['show']): Behaviour {
  return { name, safety: false, args, show }
}
