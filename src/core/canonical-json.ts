import { canonicalNumber } from './canonical-number.ts'
import { limits } from './limits.ts'

/**
 * The canonical form of a JSON text by RFC 8785, so that two texts are the same input exactly when their forms are equal. It differs from
 * the RFC where the RFC would take two inputs for one: a number that a double cannot hold keeps its digits (`canonicalNumber`), and a
 * lone surrogate stays an escape.
 * @returns undefined for a text that is not JSON (RFC 8259), has a member name twice, or is nested deeper than `limits.jsonDepthMax`:
 * different readers may take such a text for different things, so it counts as bytes
 */
export function canonicalJson(text: string): string | undefined {
  try {
    return new Scanner(text).document()
  } catch (error) {
    if (error === malformed || error instanceof SyntaxError) return undefined
    throw error
  }
}

/** One object for every refusal: a stack trace for each bad body would cost more than reading it. */
const malformed = new Error('not a JSON text with one meaning')

/** Stands for a value whose source is its canonical form: nothing is copied until something around it has to be. */
const asWritten = ''

/** Up to so many members insertion is faster than the general sort; beyond it, it would be quadratic. */
const insertionSortMax = 24

/** A part of an array or object: where it stands, and its canonical text unless that is as written. */
interface Item {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** A member of an object, with its unescaped name. */
interface Member extends Item {
  readonly name: string
}

/** Reads a text once, from start to end. Every method begins at its first character and leaves `at` behind its last. */
class Scanner {
  readonly #text: string
  #at = 0
  #depth = 0
  /** Characters of white space passed so far: a part over which it has not grown has none. */
  #spaces = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): string {
    this.#passSpace()
    const text = this.#copied(this.#item())
    this.#passSpace()
    if (this.#at !== this.#text.length) throw malformed
    return text
  }

  #value(): string {
    switch (this.#text.charCodeAt(this.#at)) {
      case 0x22: // "
        return this.#string()
      case 0x7b: // {
        return this.#object()
      case 0x5b: // [
        return this.#array()
      case 0x74:
        return this.#word('true')
      case 0x66:
        return this.#word('false')
      case 0x6e:
        return this.#word('null')
      default:
        return this.#number()
    }
  }

  #word(word: string): string {
    if (!this.#text.startsWith(word, this.#at)) throw malformed
    this.#at += word.length
    return asWritten
  }

  /** Escapes are left to `JSON.parse`, and lone surrogates to `JSON.stringify`, which writes them as escapes. */
  #string(): string {
    const start = this.#at
    return this.#passString() ? asWritten : JSON.stringify(JSON.parse(this.#text.slice(start, this.#at)))
  }

  /** Says whether the string is canonical as written for sure. */
  #passString(): boolean {
    const text = this.#text
    let plain = true
    let at = this.#at + 1
    for (let code = text.charCodeAt(at); code !== 0x22; code = text.charCodeAt(at)) {
      if (code === 0x5c) at += 1
      else if (!(code >= 0x20)) throw malformed // a control character, or NaN: the end
      plain &&= code !== 0x5c && (code < 0xd800 || code > 0xdfff)
      at += 1
    }
    this.#at = at + 1
    return plain
  }

  /** At most 15 digits and a last one that is not zero are what a double gives back (its decimal precision), bar -0 and 1e-7. */
  #number(): string {
    const start = this.#at
    const text = this.#text
    if (text.charCodeAt(start) === 0x2d) this.#at += 1
    const wholeStart = this.#at
    this.#passDigits()
    const isZero = text.charCodeAt(wholeStart) === 0x30
    if (isZero && this.#at > wholeStart + 1) throw malformed
    let simple = wholeStart === start || !isZero
    if (text.charCodeAt(this.#at) === 0x2e) {
      this.#at += 1
      this.#passDigits()
      simple = text.charCodeAt(this.#at - 1) !== 0x30 && !(isZero && text.startsWith('0.00000', wholeStart))
    }
    if ((text.charCodeAt(this.#at) | 0x20) === 0x65) {
      this.#passExponent()
      simple = false
    }
    if (simple && this.#at - wholeStart <= 15) return asWritten
    const number = canonicalNumber(text.slice(start, this.#at))
    if (number === undefined) throw malformed
    return number
  }

  #passExponent(): void {
    this.#at += 1
    const sign = this.#text.charCodeAt(this.#at)
    if (sign === 0x2b || sign === 0x2d) this.#at += 1
    this.#passDigits()
  }

  #passDigits(): void {
    const text = this.#text
    const start = this.#at
    let at = start
    for (let code = text.charCodeAt(at); code >= 0x30 && code <= 0x39; code = text.charCodeAt(at)) at += 1
    if (at === start) throw malformed
    this.#at = at
  }

  #array(): string {
    const spaces = this.#spaces
    this.#open()
    const items: Item[] = []
    let same = true
    while (this.#more(0x5d, items.length > 0)) {
      const item = this.#item()
      same &&= item.text === asWritten
      items.push(item)
    }
    return same && spaces === this.#spaces ? asWritten : `[${this.#joined(items)}]`
  }

  #item(): Item {
    const start = this.#at
    const text = this.#value()
    return { start, end: this.#at, text }
  }

  #object(): string {
    const spaces = this.#spaces
    this.#open()
    const members: Member[] = []
    let same = true
    let sorted = true
    let last: string | undefined
    while (this.#more(0x7d, last !== undefined)) {
      const member = this.#member()
      sorted &&= last === undefined || last < member.name
      same &&= member.text === asWritten
      members.push(member)
      last = member.name
    }
    if (!sorted) sortMembers(members)
    return sorted && same && spaces === this.#spaces ? asWritten : `{${this.#joined(members)}}`
  }

  #member(): Member {
    const start = this.#at
    const spaces = this.#spaces
    if (this.#text.charCodeAt(start) !== 0x22) throw malformed
    const plain = this.#passString()
    const nameEnd = this.#at
    const name = plain ? this.#text.slice(start + 1, nameEnd - 1) : unquoted(this.#text.slice(start, nameEnd))
    this.#passSpace()
    if (this.#text.charCodeAt(this.#at) !== 0x3a) throw malformed
    this.#at += 1
    this.#passSpace()
    const value = this.#item()
    if (plain && spaces === this.#spaces && value.text === asWritten) return { name, start, end: value.end, text: asWritten }
    const quoted = plain ? this.#text.slice(start, nameEnd) : JSON.stringify(name)
    return { name, start, end: value.end, text: `${quoted}:${this.#copied(value)}` }
  }

  #joined(items: readonly Item[]): string {
    let text = ''
    for (const item of items) text += text === '' ? this.#copied(item) : `,${this.#copied(item)}`
    return text
  }

  #copied({ start, end, text }: Item): string {
    return text === asWritten ? this.#text.slice(start, end) : text
  }

  #open(): void {
    this.#at += 1
    this.#depth += 1
    if (this.#depth > limits.jsonDepthMax) throw malformed
  }

  /** Passes the comma before the next part, or the closing bracket and says that there is none. */
  #more(close: number, isComma: boolean): boolean {
    this.#passSpace()
    const code = this.#text.charCodeAt(this.#at)
    if (code === close) {
      this.#at += 1
      this.#depth -= 1
      return false
    }
    if (!isComma) return true
    if (code !== 0x2c) throw malformed
    this.#at += 1
    this.#passSpace()
    return true
  }

  #passSpace(): void {
    const text = this.#text
    let at = this.#at
    for (let code = text.charCodeAt(at); code <= 0x20; code = text.charCodeAt(at)) {
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) throw malformed
      at += 1
    }
    this.#spaces += at - this.#at
    this.#at = at
  }
}

function unquoted(source: string): string {
  return String(JSON.parse(source))
}

/** By UTF-16 code units, as RFC 8785 §3.2.3 says. A name that occurs twice makes the text malformed. */
function sortMembers(members: Member[]): void {
  if (members.length > insertionSortMax) members.sort((a, b) => (a.name < b.name ? -1 : 1))
  else insertionSort(members)
  let last: string | undefined
  for (const { name } of members) {
    if (name === last) throw malformed
    last = name
  }
}

function insertionSort(members: Member[]): void {
  for (let start = 1; start < members.length; start += 1) {
    const member = members[start]
    if (member === undefined) continue
    let at = start
    for (let before = members[at - 1]; before !== undefined && member.name < before.name; before = members[at - 1]) {
      members[at] = before
      at -= 1
    }
    members[at] = member
  }
}
