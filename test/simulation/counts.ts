/** How often the things happened that a run is about. */
export interface Counts {
  executions: number
  takeovers: number
  interruptions: number
  fenced: number
  replays: number
  held: number
  resolved: number
  unsettled: number
  mismatches: number
  crashes: number
  stalls: number
  cuts: number
}

/** Nothing has happened yet. */
export function noCounts(): Counts {
  return {
    executions: 0,
    takeovers: 0,
    interruptions: 0,
    fenced: 0,
    replays: 0,
    held: 0,
    resolved: 0,
    unsettled: 0,
    mismatches: 0,
    crashes: 0,
    stalls: 0,
    cuts: 0,
  }
}
