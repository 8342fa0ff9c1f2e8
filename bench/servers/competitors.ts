import { Idempotency } from '@node-idempotency/core'
import { RedisStorageAdapter } from '@node-idempotency/storage-adapter-redis'
import { getSharedIdempotencyService, idempotency, type IIdempotencyDataAdapter } from 'express-idempotency'
import redisAdapter from 'express-idempotency-redis-adapter'
import type { Request, RequestHandler, Response } from 'express'

/** A competitor before a handler of Express. */
export interface Guard {
  readonly before: RequestHandler
  /** Whether the request has been answered already, where the handler is called all the same. */
  readonly isReplay: (request: Request) => boolean
  readonly close: () => Promise<unknown>
}

/** `@node-idempotency/core`, which has no middleware for Express: this does what its plugin for Nest does, and saves before it answers. */
export async function nodeIdempotency(url: string): Promise<Guard> {
  const storage = new RedisStorageAdapter({ url })
  await storage.connect()
  const idempotent = new Idempotency(storage, { enforceIdempotency: true })
  const before: RequestHandler = async (request, response, next) => {
    const { headers, path, body, method } = request
    const asked = { headers, path, body, method }
    const found = await idempotent.onRequest(asked)
    if (found !== undefined) {
      response.status(Number(found.additional?.['statusCode'])).json(found.body)
      return
    }
    saveBeforeSending(response, (answer, statusCode) =>
      idempotent.onResponse(asked, { body: answer, additional: { statusCode } }),
    )
    next()
  }
  return { before, isReplay: () => false, close: () => storage.disconnect() }
}

function saveBeforeSending(response: Response, save: (body: unknown, status: number) => Promise<void>): void {
  const json = response.json.bind(response)
  const sent = async (body: unknown): Promise<void> => {
    await save(body, response.statusCode)
    json(body)
  }
  response.json = (body: unknown) => {
    void sent(body)
    return response
  }
}

/** `express-idempotency` with its own adapter: it looks and then writes, in two steps, and answers without waiting for the outcome's write. */
export async function expressIdempotency(url: string): Promise<Guard> {
  const dataAdapter = new redisAdapter.default({ connectionConfig: { url } })
  await dataAdapter.connect()
  // The two packages do not agree on whether a member may be there and undefined.
  const middleware = idempotency({ dataAdapter: dataAdapter as unknown as IIdempotencyDataAdapter })
  const before: RequestHandler = (request, response, next) => middleware(request, response, next)
  return {
    before,
    isReplay: (request) => getSharedIdempotencyService().isHit(request),
    close: () => dataAdapter.disconnect(),
  }
}
