import { ask, jsonOf, type Answered, type Question } from './ask.ts'

/** A server of the fixture that runs. */
export interface StartedFixture {
  /** `http://HOST:PORT` */
  readonly url: string
  /** Ends it; called once, when the behaviour has been shown or has failed. */
  close(): Promise<void>
}

/**
 * Starts a fixture with these options of its command line, fresh: without records, without effects. docs/http.md says what it answers.
 * Called once for each behaviour; several may run at once.
 */
export type StartFixture = (args: readonly string[]) => Promise<StartedFixture>

/** A started server, as the behaviours ask it. */
export interface Subject {
  readonly url: string
  ask(question?: Question): Promise<Answered>
  /** Asks one after the other. */
  askTwice(question?: Question): Promise<[Answered, Answered]>
  /** Effects so far. */
  effects(): Promise<number>
}

/** A running server as the behaviours ask it. */
export function subjectOf(url: string): Subject {
  return {
    url,
    ask: (question) => ask(url, question),
    askTwice: async (question) => [await ask(url, question), await ask(url, question)],
    effects: async () => {
      const effects = jsonOf(await ask(url, { method: 'GET', path: '/effects' }))
      if (!Array.isArray(effects)) throw new TypeError('GET /effects answers an array')
      return effects.length
    },
  }
}
