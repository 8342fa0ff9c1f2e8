import { strict as assert } from 'node:assert'
import type { ClaimResult, Fence } from '../../core/transitions.ts'
import type { Outcome } from '../../core/record.ts'

/** What was known of an operation when a call to the store was made. */
export interface Moment {
  readonly turn: number
  /** The greatest attempt that an owner had been told of to run it. */
  readonly attempt: number
  /** Whether a completion had been acknowledged. */
  readonly completed: boolean
}

/** What the callers of one operation have been told together. */
interface Told {
  attempt: number
  completed: boolean
  /** The one outcome that was acknowledged or handed out. */
  outcome: string | null
  /** Who runs it, and the turn in which its lease was last confirmed. */
  readonly running: Map<string, number>
}

/** Hears what the store tells each caller, and objects as soon as two things it told cannot both be true. */
export class Witness {
  readonly #operations = new Map<string, Told>()
  #turn = 0

  /** All leases given so far have lapsed. */
  turn(): void {
    this.#turn += 1
  }

  /** To be asked when a call is made, and handed over with its answer. */
  moment(id: string): Moment {
    const { attempt, completed } = this.#told(id)
    return { turn: this.#turn, attempt, completed }
  }

  /** A claim's caller has its answer, and means to run what it was given unless it `releases` it. */
  found(id: string, owner: string, result: ClaimResult, made: Moment, releases: boolean): void {
    switch (result.state) {
      case 'claimed':
        return this.#claimed({ id, owner, attempt: result.attempt }, made, releases)
      case 'completed':
        return this.#outcome(id, textOf(result.outcome))
      case 'busy':
        return assert.equal(made.completed, false, 'an operation whose completion was acknowledged is not busy')
      case 'mismatch':
      case 'held':
      case 'expired':
        assert.fail(`nothing of this race leads to ${result.state}`)
    }
  }

  /** A renewal was acknowledged. */
  renewed({ id, owner }: Fence, made: Moment): void {
    this.#runs(id, owner, made)
  }

  /** The owner is about to end its attempt, so that from now on nobody counts on its lease. */
  ends({ id, owner }: Fence): void {
    this.#told(id).running.delete(owner)
  }

  /** A completion was acknowledged. */
  completed({ id }: Fence, outcome: Outcome): void {
    this.#outcome(id, textOf(outcome))
    this.#told(id).completed = true
  }

  /** The outcome that must be found from now on; null when nobody was told of one. */
  outcomeOf(id: string): string | null {
    return this.#told(id).outcome
  }

  #claimed({ id, owner, attempt }: Fence, made: Moment, releases: boolean): void {
    assert.equal(made.completed, false, 'an operation whose completion was acknowledged is not claimed again')
    assert.ok(attempt > made.attempt, `attempt ${attempt} was claimed after attempt ${made.attempt}`)
    if (releases) return
    const told = this.#told(id)
    told.attempt = Math.max(told.attempt, attempt)
    this.#runs(id, owner, made)
  }

  #runs(id: string, owner: string, made: Moment): void {
    const { running } = this.#told(id)
    running.set(owner, made.turn)
    const live = [...running].filter(([, turn]) => turn === this.#turn)
    assert.ok(live.length <= 1, `${live.map(([each]) => each).join(' and ')} own the operation at the same time`)
  }

  #outcome(id: string, text: string): void {
    const told = this.#told(id)
    assert.equal(text, told.outcome ?? text, 'an operation has one outcome')
    told.outcome = text
  }

  #told(id: string): Told {
    const known = this.#operations.get(id)
    if (known !== undefined) return known
    const created: Told = { attempt: 0, completed: false, outcome: null, running: new Map() }
    this.#operations.set(id, created)
    return created
  }
}

/** The text that an outcome's bytes are. */
export function textOf({ body }: Outcome): string {
  return new TextDecoder().decode(body)
}
