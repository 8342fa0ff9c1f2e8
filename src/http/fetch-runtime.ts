/** What the adapters for the Fetch standard's request and response take from the runtime, in one place: its loop, its console. */

/** Calls back when what is ready now has been dealt with. */
export function endOfTurn(callback: () => void): void {
  // oxlint-disable eslint/no-restricted-globals -- this file is the runtime's; the door's other files take it from here
  // Where there is none, a timer is the standard's own way: it takes a millisecond or more.
  if (typeof setImmediate === 'function') setImmediate(callback)
  else setTimeout(callback, 0)
  // oxlint-enable eslint/no-restricted-globals
}

/** Tells a person of an error that no caller can be told of. */
export function reportToConsole(error: unknown): void {
  // oxlint-disable-next-line eslint/no-console -- where the application gave no onError, an error must not go unseen
  console.error(error)
}
