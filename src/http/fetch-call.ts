import { readBody } from './fetch-body.ts'
import type { BodyRefusal, HttpCall } from './protocol.ts'
import type { RequestBody } from './request-fingerprint.ts'

/** A request of the Fetch standard in the door's terms. `Asked` is what the application's functions are given: the request, or the framework's context. */
export class FetchCall<Asked> implements HttpCall<Asked> {
  readonly request: Asked
  readonly #raw: Request

  constructor(asked: Asked, raw: Request) {
    this.request = asked
    this.#raw = raw
  }

  get method(): string {
    return this.#raw.method
  }

  get target(): string {
    return this.#raw.url
  }

  get signal(): AbortSignal {
    return this.#raw.signal
  }

  header(name: string): string | undefined {
    return this.#raw.headers.get(name) ?? undefined
  }

  /**
   * The standard joins what was sent twice by a comma and a space, and nothing tells that from one value with both in it: that counts as
   * sent twice as well.
   */
  headerCount(name: string): number {
    return this.header(name)?.split(', ').length ?? 0
  }

  body(bytesMax: number): Promise<RequestBody | BodyRefusal> {
    return readBody(this.#raw, bytesMax)
  }
}
