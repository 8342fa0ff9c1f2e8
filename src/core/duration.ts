import { OptionsError } from './errors.ts'
import { limits } from './limits.ts'

/** A length of time: milliseconds, or a number with its unit: `'250ms'`, `'10s'`, `'5m'`, `'24h'`, `'7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** Milliseconds of each unit. */
const unitMs = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

const allowedForms = `a whole number of milliseconds, or a number with its unit such as '250ms', '10s', '5m', '24h', '7d'`

/**
 * The milliseconds an option says, as a whole number; a fraction such as `'0.5ms'` is rounded up.
 * @param name the option's name, for the message
 * @param min the least that is accepted. Milliseconds
 * @throws OptionsError that names the option, its value and what is allowed
 */
export function durationMs(name: string, value: Duration, { min = 0 }: { readonly min?: number } = {}): number {
  const parsed = parsedMs(value)
  if (!Number.isInteger(parsed)) throw new OptionsError(`${name} is ${shown(value)}: give ${allowedForms}`)
  if (parsed < min || parsed > limits.durationMsMax)
    throw new OptionsError(
      `${name} is ${shown(value)}, but must be from ${min} ms to ${limits.durationMsMax} ms: give ${allowedForms}`,
    )
  return parsed + 0 // -0 becomes 0
}

/** NaN for what is no duration: callers without types hand in anything. */
function parsedMs(value: unknown): number {
  if (typeof value !== 'string') return typeof value === 'number' ? value : NaN
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(ms|[smhd])$/.exec(value) ?? []
  return wholeMs(Number(amount) * (unitMs.get(unit) ?? NaN))
}

/** Fifteen digits take away what binary fractions add: 1.1 × 1000 is 1100.0000000000002. */
function wholeMs(exactMs: number): number {
  return Math.ceil(Number(exactMs.toPrecision(15)))
}

function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}
