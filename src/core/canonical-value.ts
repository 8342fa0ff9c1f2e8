import { hex, isArrayBuffer, isBytes } from './bytes.ts'
import { canonicalNumber } from './canonical-number.ts'
import { InputError } from './errors.ts'
import { limits } from './limits.ts'

/** Where a value stands in the input: member names and indexes from the top. Also what tells how deep it is. */
type Path = (string | number)[]

/** Any object, read by its members' names. */
type Keyed = Readonly<Record<string, unknown>>

function isKeyed(value: unknown): value is Keyed {
  return typeof value === 'object' && value !== null
}

/**
 * The canonical text of an input, the same as `canonicalJson` gives for its JSON: equal texts mean equal inputs. What JSON leaves out
 * silently would make different inputs equal and is refused; bigint and bytes, which JSON cannot say, have a form.
 * @returns `''` for `undefined`, which no other input has
 * @throws InputError that names the place and the remedy, for a Map, a function, NaN, a cycle, …
 */
export function canonicalValue(value: unknown): string {
  return canonical(value, []) ?? ''
}

/** Undefined for what JSON leaves out: as a member it is absent, as an element null. */
function canonical(value: unknown, path: Path): string | undefined {
  switch (typeof value) {
    case 'string':
      return quoted(value)
    case 'number':
      return Number.isFinite(value) ? String(value) : refuse(path, `is ${value}`)
    case 'boolean':
      return String(value)
    case 'bigint':
      return canonicalNumber(String(value))
    case 'object':
      return isKeyed(value) ? canonicalObject(value, path) : 'null'
    case 'undefined':
      return undefined
    case 'function':
    case 'symbol':
      return refuse(path, `is a ${typeof value}`)
  }
}

/** A cycle needs no memory of where one has been: it is too deep sooner or later. As in JSON, `toJSON` is asked once. */
function canonicalObject(value: Keyed, path: Path): string | undefined {
  if (isBytes(value)) return `b"${hex(value)}"`
  if (!hasToJson(value)) return canonicalContents(value, path)
  const json = value.toJSON(String(path.at(-1) ?? ''))
  return isKeyed(json) && !isBytes(json) ? canonicalContents(json, path) : canonical(json, path)
}

function hasToJson(value: object): value is { toJSON(name: string): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function'
}

function canonicalContents(value: Keyed, path: Path): string | undefined {
  if (path.length >= limits.jsonDepthMax)
    return refuse(path, `is deeper than ${limits.jsonDepthMax} levels, or the input contains itself`)
  if (Array.isArray(value)) return canonicalArray(value, path)
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? canonicalMembers(value, path) : canonicalInstance(value, path)
}

function canonicalArray(items: readonly unknown[], path: Path): string {
  let text = ''
  for (let index = 0; index < items.length; index += 1) {
    path.push(index)
    text += `${index === 0 ? '' : ','}${canonical(items[index], path) ?? 'null'}`
    path.pop()
  }
  return `[${text}]`
}

function canonicalMembers(value: Keyed, path: Path): string {
  let text = ''
  for (const name of sortedNames(value)) {
    path.push(name)
    const member = canonical(value[name], path)
    path.pop()
    if (member !== undefined) text += `${text === '' ? '' : ','}${quoted(name)}:${member}`
  }
  return `{${text}}`
}

/** By UTF-16 code units, as RFC 8785 §3.2.3 says and `toSorted` does; most inputs come sorted or have few members. */
function sortedNames(value: object): readonly string[] {
  const names = Object.keys(value)
  for (let index = 1; index < names.length; index += 1)
    if ((names[index - 1] ?? '') > (names[index] ?? '')) return names.toSorted()
  return names
}

/** What needs no escape is put in quotes here: for the short strings that inputs are made of, faster than `JSON.stringify`. */
function quoted(text: string): string {
  if (text.length > 40) return JSON.stringify(text)
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code < 0x20 || code === 0x22 || code === 0x5c || code >= 0xd800) return JSON.stringify(text)
  }
  return `"${text}"`
}

/** Kinds of objects whose contents are not their own enumerable properties: JSON would say `{}` of any of them. */
const opaque = /^\[object (?:Map|Set|Weak.+|Promise|RegExp|Error|.+Array|DataView|.*Iterator|.*Generator)\]$/

/** Objects around a primitive, which JSON unwraps. */
const wrapper = /^\[object (?:String|Number|Boolean|BigInt)\]$/

/** An object of a class counts as its own enumerable properties; a built-in kind without any is as opaque as those listed. */
function canonicalInstance(value: Keyed, path: Path): string | undefined {
  if (isArrayBuffer(value)) return canonical(new Uint8Array(value), path)
  const tag = Object.prototype.toString.call(value)
  if (wrapper.test(tag)) return canonical(value.valueOf(), path)
  if (opaque.test(tag) || (tag !== '[object Object]' && Object.keys(value).length === 0)) refuse(path, `is a ${tag.slice(8, -1)}`)
  return canonicalMembers(value, path)
}

function refuse(path: Path, what: string): never {
  const place = path.map((part) => (typeof part === 'number' ? `[${part}]` : named(part))).join('')
  throw new InputError(
    `the input cannot be compared: $${place} ${what}; nothing ran: give plain JSON values, bigint, bytes or dates as input, or a fingerprint of your own`,
  )
}

function named(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`
}
