import { InputError } from './errors.ts'
import { limits } from './limits.ts'

/** Which operation is meant: whose key, for what, and the caller's value for this one intended operation. */
export interface Operation {
  /** Whose key it is: tenant, account or principal. Two scopes never see each other. 1 to 255 UTF-16 units. */
  readonly scope: string
  /** What is done: for HTTP, method and path; for a queue, the queue; for a function, the name given. 1 to 1,024 UTF-16 units. */
  readonly name: string
  /** The caller's unique value for one intended operation. 1 to 255 UTF-16 units. */
  readonly key: string
}

/** SHA-256 in lower-case hexadecimal, of the bytes given or of the string's UTF-8. Handed in, so that `core/` runs everywhere. */
export type Sha256 = (data: string | Uint8Array) => string

/**
 * The operation's identity in a store: SHA-256 (64 hexadecimal digits) over its three words, each behind its length, so that no
 * two operations share one and collations, NUL bytes and index limits play no part.
 */
export function operationId({ scope, name, key }: Operation, sha256: Sha256): string {
  return sha256(`${scope.length}:${scope}${name.length}:${name}${key.length}:${key}`)
}

/**
 * Checks the three words of an operation, in the order scope, name, key.
 * @throws InputError that names the word, what is wrong with it and the remedy
 */
export function checkOperation({ scope, name, key }: Operation): void {
  checkWord('scope', scope, limits.scopeLengthMax)
  checkWord('name', name, limits.nameLengthMax)
  checkWord('key', key, limits.keyLengthMax)
}

/** A lone surrogate is refused because UTF-8 has no form for it: two different keys would share one identity. */
function checkWord(word: keyof Operation, value: unknown, lengthMax: number): void {
  if (typeof value !== 'string')
    throw new InputError(`${word} must be a string, not ${typeof value}: give the operation's ${word}`)
  if (value.length === 0) throw new InputError(`${word} is empty: give the operation's ${word}`)
  if (value.length > lengthMax)
    throw new InputError(`${word} has ${value.length} UTF-16 units, at most ${lengthMax} are allowed: hash a longer value first`)
  if (!value.isWellFormed())
    throw new InputError(`${word} has a lone surrogate, which no encoding keeps: give well-formed Unicode`)
}
