import { thrownUnlessCompleted } from './values.ts'
import type { Attempt, DefinedOperation, Once, OperationOptions } from './once.ts'

/** An operation's name, options and handler. */
export interface Definition<Input, Value> {
  readonly name: string
  readonly options: Omit<OperationOptions, 'signal'>
  readonly handler: (attempt: Attempt, input: Input) => Promise<Value> | Value
}

/** The function that runs a defined operation. */
export function define<Input, Value>(
  once: Pick<Once, 'try'>,
  { name, options, handler }: Definition<Input, Value>,
): DefinedOperation<Input, Value> {
  return async (call, input) => {
    const result = await once.try({ ...options, ...call, name, input }, (attempt) => handler(attempt, input))
    const { value, replayed } = thrownUnlessCompleted(result)
    return { value, replayed }
  }
}
