import { behaviours, type Start, type Test } from './harness.ts'
import { concurrencyBehaviours } from './concurrency.ts'
import { failureBehaviours } from './failure.ts'
import { headerBehaviours } from './header.ts'
import { lifeBehaviours } from './life.ts'
import { methodBehaviours } from './methods.ts'
import { mismatchBehaviours } from './mismatch.ts'
import { replayBehaviours } from './replay.ts'

/**
 * Registers the behaviours that an HTTP door must show, each against a server of `fixture.md` of its own.
 * @param name of what is tested, before each sentence
 */
export function httpContract(test: Test, name: string, start: Start): void {
  const it = behaviours(test, name, start)
  headerBehaviours(it)
  replayBehaviours(it)
  mismatchBehaviours(it)
  concurrencyBehaviours(it)
  failureBehaviours(it)
  lifeBehaviours(it)
  methodBehaviours(it)
}
