/** More digits than these in an exponent are not added up: exact arithmetic on a megabyte of them would take half a second. */
const exponentDigitsMax = 15

/**
 * The canonical form of a JSON number: RFC 8785's where the double that the text reads as stands for the same decimal value in its
 * shortest form (`1.0`, `10e-1` → `1`; `0.1` stays), otherwise the text's own digits as an integer with an exponent, so that two numbers
 * that only a double takes for equal stay apart. Both forms denote the value they were made from, so no two values share one.
 * @param source a number as RFC 8259 writes it
 * @returns undefined where the exponent itself has more than 15 digits
 */
export function canonicalNumber(source: string): string | undefined {
  const shortest = String(Number(source))
  if (shortest === source) return source
  const exact = exactDecimal(source)
  if (exact === '0' || exact === undefined) return exact
  return exact === exactDecimal(shortest) ? shortest : exact
}

/** A number's decimal value as an integer without trailing zeros and an exponent, never expanded: `1e999999999` stays short. */
function exactDecimal(source: string): string | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?)0*(\d+))?$/.exec(source)
  if (match === null) return source // 'Infinity', which equals no source
  const [, sign = '', whole = '', fraction = '', exponentSign = '', exponent = '0'] = match
  const digits = withoutLeadingZeros(whole + fraction)
  const significant = withoutTrailingZeros(digits)
  if (significant === '') return '0'
  if (exponent.length > exponentDigitsMax) return undefined
  return `${sign}${significant}e${Number(exponentSign + exponent) - fraction.length + digits.length - significant.length}`
}

function withoutLeadingZeros(digits: string): string {
  const first = digits.search(/[1-9]/)
  return first < 0 ? '' : digits.slice(first)
}

/** By a loop: `/0+$/` takes quadratic time on zeros in the middle. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length
  while (digits.charCodeAt(end - 1) === 0x30) end -= 1
  return digits.slice(0, end)
}
