import type { OncewardEvent, OncewardListener } from '../engine/events.ts'

/** What is used of a logger: pino's, and those shaped like it (Fastify's `log`, roarr, bunyan). */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

type Level = keyof Logger

/** One line an event: its level, and its message. */
const lines: Readonly<Record<OncewardEvent['type'], readonly [Level, string]>> = {
  opened: ['info', 'store open'],
  claimed: ['debug', 'operation claimed'],
  completed: ['debug', 'operation completed'],
  replayed: ['info', 'outcome replayed'],
  waiting: ['debug', 'waiting for the running operation'],
  busy: ['info', 'operation still running, caller told to ask again'],
  mismatch: ['warn', 'key used before with another input'],
  interrupted: ['warn', 'attempt ended without an outcome to keep'],
  fenced: ['warn', 'attempt had lost its operation, its answer was not recorded'],
  released: ['info', 'claim given back, its handler never started'],
  held: ['error', 'operation is held until someone resolves it'],
  resolved: ['info', 'held operation resolved'],
  storeFailed: ['error', 'store call failed'],
}

/**
 * A listener for `onEvent` that logs each event as one line: `onceward({ store, onEvent: logEvents(pino()) })`. The fields of a
 * line are the event's, `type` under `event`, so that every line about an operation bears its name, key and attempt.
 */
export function logEvents(logger: Logger): OncewardListener {
  return ({ type, ...fields }) => {
    const [level, message] = lines[type]
    const { error, ...rest } = 'error' in fields ? fields : { ...fields, error: undefined }
    // pino and those shaped like it serialise an error, stack and all, under `err`.
    logger[level](error === undefined ? { event: type, ...rest } : { event: type, ...rest, err: error }, `onceward: ${message}`)
  }
}
