import { limits } from './limits.ts'

/** A key, or why there is none: a clause for people, to stand behind "the Idempotency-Key header is not valid:". */
export type ParsedKey = { readonly ok: true; readonly key: string } | { readonly ok: false; readonly reason: string }

/** Every kind of bare item (RFC 9651 §4.2.3.1) by its form: what a parameter means, such as a day or UTF-8, nobody here asks. */
const bareItems = [
  String.raw`-?(?:\d{1,12}\.\d{1,3}|\d{1,15})`, // integer and decimal, §4.2.4
  String.raw`"(?:[ !#-\[\]-~]|\\["\\])*"`, // string, §4.2.5
  String.raw`[A-Za-z*][!#$%&'*+\-.^_\x60|~\w:/]*`, // token, §4.2.6
  String.raw`:[A-Za-z\d+/=]*:`, // byte sequence, §4.2.7
  String.raw`\?[01]`, // boolean, §4.2.8
  String.raw`@-?\d{1,15}`, // date, §4.2.9
  String.raw`%"(?:[ !#$&-~]|%[\da-f]{2})*"`, // display string, §4.2.10
]

/** A string item and its parameters (§4.2.3, §4.2.3.2), spaces around them; the string without its quotes is the first group. */
const stringItem = new RegExp(
  String.raw`^ *"((?:[ !#-\[\]-~]|\\["\\])*)"(?:; *[a-z*][a-z\d_\-.*]*(?:=(?:${bareItems.join('|')}))?)* *$`,
)

/** Visible ASCII but for what another reading would take apart: a repeated header joined by commas, parameters, a broken quote. */
const bareKey = /^ *([!#-+\--:<-~]+) *$/

/**
 * Reads the value of an `Idempotency-Key` header, as `node:http` hands it out (one character a byte). It is an RFC 9651 item that is a
 * string, whose parameters are read over, or, unless `strict`, the key itself without quotes, as most clients send it. `"K"` and `K` are
 * the same key. A key without quotes has no white space, comma, semicolon or quote: `K;a=1` could mean two keys, and `K1,K2` is what
 * becomes of a header sent twice.
 */
export function parseKey(header: string, { strict }: { readonly strict: boolean }): ParsedKey {
  const quoted = stringItem.exec(header)?.[1]
  if (quoted !== undefined) return measured(quoted.includes('\\') ? quoted.replaceAll(/\\(["\\])/g, '$1') : quoted)
  const bare = strict ? undefined : bareKey.exec(header)?.[1]
  return bare === undefined ? refused(reasonAgainst(header, strict)) : measured(bare)
}

function measured(key: string): ParsedKey {
  if (key.length === 0) return refused('the key is empty')
  if (key.length <= limits.keyLengthMax) return { ok: true, key }
  return refused(`the key has ${key.length} characters, and at most ${limits.keyLengthMax} are allowed`)
}

function refused(reason: string): ParsedKey {
  return { ok: false, reason }
}

/** What is wrong with a header that neither form fits; the first thing a sender would have to mend. */
function reasonAgainst(header: string, strict: boolean): string {
  const value = header.replace(/^ +/, '')
  const foreign = value.search(/[^ -~]/)
  if (value === '') return 'the key is empty'
  if (foreign >= 0)
    return `character ${foreign + 1} is not printable ASCII (byte ${value.charCodeAt(foreign)}): use letters, digits and punctuation`
  if (value.startsWith('"')) return reasonAgainstQuoted(value)
  if (strict) return 'the key must stand in double quotes: "key"'
  return 'a key without quotes cannot contain a space, comma, semicolon or quote: send the header once, or put the key in double quotes'
}

function reasonAgainstQuoted(value: string): string {
  const string = /^"(?:[^"\\]|\\["\\])*/.exec(value)?.[0] ?? ''
  const next = value.charAt(string.length)
  if (next === '"')
    return `what follows the closing quote is not a parameter (character ${string.length + 2}): send one key, once`
  if (next === '\\') return `a backslash in the key (character ${string.length + 1}) is not followed by a quote or a backslash`
  return 'the closing quote is missing'
}
