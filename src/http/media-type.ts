/** A `Content-Type` as it is compared, and what the body is read as. */
export interface MediaType {
  /** Lower case; parameters by name, without those that say nothing about the input: a JSON text's UTF-8, a multipart boundary. */
  readonly text: string
  readonly kind: 'json' | 'multipart' | 'other'
  /** Of a multipart body. */
  readonly boundary: string | undefined
}

const json: MediaType = { text: 'application/json', kind: 'json', boundary: undefined }

/** One parameter (RFC 9110 §5.6.6): a token or a quoted string. */
const parameter = /;[\t ]*([^\s;=]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))/g

/** Reads a `Content-Type` header (RFC 9110 §8.3.1); an absent one is empty. */
export function mediaType(header: string): MediaType {
  if (header === 'application/json') return json
  const type = header.split(';', 1).join('').trim().toLowerCase()
  const kind = kindOf(type)
  const parameters = [...header.matchAll(parameter)].map(([, name = '', quoted, token = '']) => ({
    name: name.toLowerCase(),
    value: quoted?.replaceAll(/\\(.)/g, '$1') ?? token,
  }))
  const counted = parameters.filter(({ name, value }) => !isSilent(kind, name, value))
  counted.sort((a, b) => (a.name < b.name ? -1 : 1))
  const boundary = kind === 'multipart' ? parameters.find(({ name }) => name === 'boundary')?.value : undefined
  return { text: [type, ...counted.map(written)].join(';'), kind, boundary }
}

function kindOf(type: string): MediaType['kind'] {
  if (type === 'application/json' || type.endsWith('+json')) return 'json'
  return type.startsWith('multipart/') ? 'multipart' : 'other'
}

/** JSON has no charset (RFC 8259 §11), but who says another one than UTF-8 may mean it. */
function isSilent(kind: MediaType['kind'], name: string, value: string): boolean {
  if (kind === 'json') return name === 'charset' && /^utf-?8$/i.test(value)
  return kind === 'multipart' && name === 'boundary'
}

function written({ name, value }: { readonly name: string; readonly value: string }): string {
  return `${name}=${JSON.stringify(name === 'charset' ? value.toLowerCase() : value)}`
}
