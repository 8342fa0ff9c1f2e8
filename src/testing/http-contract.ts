import { checkDeviations, registerCase, type RegisterTest } from './deviations.ts'
import { concurrencyBehaviours } from './http/concurrency.ts'
import { failureBehaviours } from './http/failure.ts'
import { headerBehaviours } from './http/header.ts'
import { lifeBehaviours } from './http/life.ts'
import { methodBehaviours } from './http/methods.ts'
import { mismatchBehaviours } from './http/mismatch.ts'
import { problemBehaviours } from './http/problems.ts'
import { profileBehaviours } from './http/profiles.ts'
import { replayBehaviours } from './http/replay.ts'
import { subjectOf, type StartFixture } from './http/subject.ts'
import { wireBehaviours } from './http/wire.ts'
import type { Behaviour } from './http/behaviour.ts'

/** Options of the suite. */
export interface HttpContractOptions {
  /**
   * Behaviours that the adapter deviates from, by name, each with its reason. A deviating one is run and must fail, so that no deviation
   * outlives its reason. Safety behaviours admit none.
   * @default {}
   */
  readonly deviations?: Readonly<Record<string, string>>
}

const behaviours: readonly Behaviour[] = [
  ...headerBehaviours,
  ...replayBehaviours,
  ...mismatchBehaviours,
  ...concurrencyBehaviours,
  ...failureBehaviours,
  ...lifeBehaviours,
  ...methodBehaviours,
  ...problemBehaviours,
  ...profileBehaviours,
  ...wireBehaviours,
]

/**
 * Holds an adapter of the HTTP door to what every door must show: registers one test for each behaviour, each against a server of its own
 * with the routes of the fixture, which docs/http.md lists.
 *
 * ```ts no-run
 * import { test } from 'node:test'
 * import { httpContract, type StartFixture } from 'onceward/testing'
 *
 * declare const startFixture: StartFixture // yours: starts a server, and gives its url and how to close it
 *
 * httpContract(test, 'my framework', startFixture)
 * ```
 *
 * What needs processes that stop and die is not part of it: several on one store, a crash, a store that is away.
 * @param test registers a test: the `test` of node:test, vitest or jest
 * @param name of what is tested, before each sentence
 * @throws Error when a deviation names no behaviour, a safety behaviour, or no reason
 */
export function httpContract(test: RegisterTest, name: string, start: StartFixture, options: HttpContractOptions = {}): void {
  const { deviations = {} } = options
  checkDeviations(deviations, behaviours)
  for (const behaviour of behaviours) {
    const reason = deviations[behaviour.name]
    registerCase(test, { name: `${name}: ${behaviour.name}`, reason }, async () => shown(behaviour, start))
  }
}

async function shown({ args, show }: Behaviour, start: StartFixture): Promise<void> {
  const started = await start(args)
  try {
    await show(subjectOf(started.url))
  } finally {
    await started.close()
  }
}
