/** One part of a multipart body. */
export interface Part {
  /** Names in lower case, lines by name. */
  readonly headers: string
  readonly body: Uint8Array
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('latin1')
const lineEnd = encoder.encode('\r\n')
const headersEnd = encoder.encode('\r\n\r\n')
const dash = 0x2d

/**
 * The parts of a multipart body (RFC 2046 §5.1), so that another boundary is the same input. The preamble and epilogue mean nothing.
 * @returns undefined for a body that is not well-formed: it counts as bytes
 */
export function multipartParts(body: Uint8Array, boundary: string): readonly Part[] | undefined {
  const delimiter = encoder.encode(`\r\n--${boundary}`)
  const parts: Part[] = []
  // The first delimiter stands at the very start, or behind a preamble that ends in a line's end, which is the delimiter's.
  let at = startsWith(body, delimiter.subarray(2), 0) ? delimiter.length - 2 : after(body, delimiter, 0)
  while (at !== undefined && !isClose(body, at)) {
    const next = after(body, delimiter, at)
    const part = next === undefined ? undefined : partOf(body, at, next - delimiter.length)
    if (part === undefined) return undefined
    parts.push(part)
    at = next
  }
  return at === undefined ? undefined : parts
}

/** A part from behind its delimiter, whose line may end in white space, up to the next. */
function partOf(body: Uint8Array, start: number, end: number): Part | undefined {
  const headersStart = lineStart(body, start)
  if (headersStart === undefined) return undefined
  // A part without headers begins with the empty line itself.
  const bare = startsWith(body, lineEnd, headersStart)
  const bodyStart = bare ? headersStart + lineEnd.length : after(body, headersEnd, headersStart)
  if (bodyStart === undefined || bodyStart > end) return undefined
  const lines = bare ? '' : decoder.decode(body.subarray(headersStart, bodyStart - headersEnd.length))
  return { headers: comparable(lines), body: body.subarray(bodyStart, end) }
}

function lineStart(body: Uint8Array, from: number): number | undefined {
  let at = from
  while (body[at] === 0x20 || body[at] === 0x09) at += 1
  return startsWith(body, lineEnd, at) ? at + lineEnd.length : undefined
}

/** Sorted by name and stable, so that lines of one name keep their order. */
function comparable(lines: string): string {
  const headers = lines.split('\r\n').map((line) => {
    const colon = line.indexOf(':')
    return { name: line.slice(0, Math.max(colon, 0)).toLowerCase(), value: line.slice(colon + 1).trim() }
  })
  return JSON.stringify(headers.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)))
}

function isClose(body: Uint8Array, at: number): boolean {
  return body[at] === dash && body[at + 1] === dash
}

/** Where the bytes searched for end, first; undefined where they do not occur. */
function after(body: Uint8Array, searched: Uint8Array, from: number): number | undefined {
  const [first = 0] = searched
  for (let at = body.indexOf(first, from); at >= 0; at = body.indexOf(first, at + 1))
    if (startsWith(body, searched, at)) return at + searched.length
  return undefined
}

function startsWith(body: Uint8Array, searched: Uint8Array, at: number): boolean {
  for (let index = 0; index < searched.length; index += 1) if (body[at + index] !== searched[index]) return false
  return true
}
