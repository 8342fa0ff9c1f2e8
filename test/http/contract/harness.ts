import { ask, type Answered, type Question } from './ask.ts'

/** A server of `fixture.md` that runs. */
export interface Started {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  close(): Promise<void>
}

/** Starts a server of `fixture.md` with these options of its command line. */
export type Start = (args: readonly string[]) => Promise<Started>

/** Registers a test: `test` of `node:test` has this shape. */
export type Test = (name: string, run: () => Promise<void>) => unknown

/** A started server, as the behaviours ask it. */
export interface Subject {
  readonly url: string
  ask(question?: Question): Promise<Answered>
  /** Asks one after the other. */
  askTwice(question?: Question): Promise<[Answered, Answered]>
  /** Effects so far. */
  effects(): Promise<number>
}

/** Registers a behaviour, shown by a server started for it alone. */
export type It = (sentence: string, args: readonly string[], show: (subject: Subject) => Promise<void>) => void

/** The way in which a contract registers its behaviours under a name. */
export function behaviours(test: Test, name: string, start: Start): It {
  return (sentence, args, show) => {
    test(`${name}: ${sentence}`, async () => {
      const started = await start(args)
      try {
        await show(subjectOf(started.url))
      } finally {
        await started.close()
      }
    })
  }
}

/** A running server as the behaviours ask it. */
export function subjectOf(url: string): Subject {
  return {
    url,
    ask: (question) => ask(url, question),
    askTwice: async (question) => [await ask(url, question), await ask(url, question)],
    effects: async () => (JSON.parse((await ask(url, { method: 'GET', path: '/effects' })).text) as unknown[]).length,
  }
}
