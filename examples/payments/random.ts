/**
 * The mulberry32 generator: numbers from 0 up to 1, the same ones for the same seed. For play, never for secrets.
 * `line` gives one seed many independent sequences.
 */
export function seededRandom(seed: number, line = 0): () => number {
  let state = (seed ^ Math.imul(line + 1, 0x9e3779b1)) | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
