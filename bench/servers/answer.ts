import type { Answer, Api, Question } from '../child.ts'

/** Answers the process that started this one, until it lets go of it: then `close` is called, and this process ends. */
export function answerParent(api: Api, close: () => Promise<void> | void): void {
  process.on('message', (question: Question) => void answer(api, question))
  process.once('disconnect', () => {
    void Promise.resolve(close()).finally(() => process.exit())
  })
}

async function answer(api: Api, { id, name, argument }: Question): Promise<void> {
  try {
    const ask = api[name]
    if (ask === undefined) throw new Error(`there is no ${name} to ask for`)
    send({ id, value: await ask(argument as never) })
  } catch (error) {
    send({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

function send(message: Answer): void {
  if (process.connected) process.send?.(message)
}
