/** Whether a value is a `Uint8Array` (Node's `Buffer` is one), also one of another realm, where `instanceof` fails. */
export function isBytes(value: unknown): value is Uint8Array {
  // The first question answers nearly always, and costs a tenth of the second.
  return (
    value instanceof Uint8Array || (ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]')
  )
}

/** Whether a value is an `ArrayBuffer`, also one of another realm. */
export function isArrayBuffer(value: object): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]'
}

const hexDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lower-case hexadecimal, two digits a byte. */
export function hex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += hexDigits[byte]
  return text
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** The text's UTF-8. Where there is a `Buffer`, its pool: a third of the time, and no ArrayBuffer a call for the collector. */
export const utf8: (text: string) => Uint8Array =
  typeof Buffer === 'function' ? (text) => Buffer.from(text, 'utf8') : (text) => encoder.encode(text)

/** The text of UTF-8 bytes that are known to be well-formed. */
export const textOf: (bytes: Uint8Array) => string =
  typeof Buffer === 'function'
    ? (bytes) => (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).toString('utf8')
    : (bytes) => decoder.decode(bytes)
