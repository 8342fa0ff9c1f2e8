import { AttemptEndedError } from './errors.ts'

/** What a guarded handle does besides failing once it has ended. */
export interface HandleOptions {
  /** What a call gave that is used later, such as a prepared statement: it is guarded as well. */
  readonly isPart?: (value: object) => boolean
  /** Members that do nothing: the handle is not the work's to give back. */
  readonly ignored?: readonly string[]
}

/** A transaction's handle as its work gets it. */
export interface Handle<Tx> {
  readonly tx: Tx
  /** From now on the handle fails, and what was made with it. */
  end(): void
  /** @throws AttemptEndedError once it has ended */
  check(member: string): void
}

/**
 * The client's own handle, which fails once the transaction has ended, rather than write outside of it, or into another. Its methods run on
 * the client's object itself, so that private members are found.
 */
export function handleOf<Tx extends object>(client: Tx, { isPart, ignored = [] }: HandleOptions = {}): Handle<Tx> {
  let ended = false
  const check = (member: string): void => {
    if (ended) throw new AttemptEndedError(`nothing was done on its transaction (${member})`)
  }
  const result = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && isPart?.(value) === true ? guarded(value) : value
  const guarded = <Part extends object>(part: Part): Part =>
    new Proxy(part, {
      get: (target, name) => {
        check(String(name))
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        if (ignored.includes(String(name))) return () => undefined
        return (...given: unknown[]): unknown => {
          check(String(name))
          return result(Reflect.apply(member, target, given))
        }
      },
      // Some handles are functions themselves.
      apply: (target, _, given: unknown[]) => {
        check('call')
        return typeof target === 'function' ? result(Reflect.apply(target, undefined, given)) : undefined
      },
    })
  return {
    tx: guarded(client),
    check,
    end: () => {
      ended = true
    },
  }
}
