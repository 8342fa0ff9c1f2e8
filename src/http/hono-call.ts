import { FetchCall } from './fetch-call.ts'
import type { BodyRefusal } from './protocol.ts'
import type { RequestBody } from './request-fingerprint.ts'

/** Hono's request, by the members that are used here or that a `scope` commonly looks at. */
export interface HonoRequest {
  readonly raw: Request
  /** What has been read of the body, by the form it was read in; whoever reads it again gets it from here. */
  readonly bodyCache: { readonly formData?: unknown; readonly [form: string]: unknown }
  /** The body, also where it was read before in another form. */
  arrayBuffer(): Promise<ArrayBuffer>
  header(name: string): string | undefined
}

/** A request of Hono in the door's terms: its body may have been read by a layer before, and is then what that left for the handler. */
export class HonoCall<Asked extends { readonly req: HonoRequest }> extends FetchCall<Asked> {
  constructor(context: Asked) {
    super(context, context.req.raw)
  }

  override async body(bytesMax: number): Promise<RequestBody | BodyRefusal> {
    const { req } = this.request
    if (!req.raw.bodyUsed) return super.body(bytesMax)
    const forms = Object.keys(req.bodyCache)
    if (forms.length === 0) return 'consumed'
    // A form that was put together again would have another boundary each time.
    if (forms.every((form) => form === 'formData')) return { parsed: await formFields(req.bodyCache.formData) }
    return new Uint8Array(await req.arrayBuffer())
  }
}

async function formFields(given: unknown): Promise<unknown> {
  const form = await given
  if (!(form instanceof FormData)) return form
  return Promise.all([...form].map(async ([name, value]) => [name, typeof value === 'string' ? value : await fileOf(value)]))
}

async function fileOf(file: File): Promise<unknown> {
  return { name: file.name, type: file.type, bytes: new Uint8Array(await file.arrayBuffer()) }
}
