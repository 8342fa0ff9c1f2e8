/** The header that tells a replay from a first answer. */
export const replayedHeader = 'Idempotent-Replayed'

/** Names the marker among the headers that a browser may show to the page, where the application exposes any (Fetch §3.3.2). */
export function exposing(exposed: string): string {
  return exposed.trim() === '*' || exposed.toLowerCase().includes(replayedHeader.toLowerCase())
    ? exposed
    : `${exposed}, ${replayedHeader}`
}
