import type { HttpOptions } from './policy.ts'

/** A named policy of the HTTP door: options to spread beside `once` and `scope`. What stands behind it wins. */
export type Profile = Readonly<
  Pick<HttpOptions<never>, 'required' | 'methods' | 'stores' | 'mismatchStatus' | 'wait' | 'ttl' | 'interrupted'>
>

/**
 * Policies by name: `idempotent({ once, scope, ...profiles.stripe })`. They are data, since providers differ on purpose, and decide what a
 * client can see of the policy; the bodies of refusals and the names of headers stay this library's.
 */
export const profiles: Readonly<Record<'default' | 'stripe', Profile>> = {
  /** The door's own defaults, which docs/http.md lists. */
  default: {},
  /**
   * Stripe's API v1, by https://docs.stripe.com/api/idempotent_requests: POST only, the key is optional and has at most 255 characters. The
   * first result is saved whatever its status, 500 as well, and kept for 24 hours. Other parameters under the key are a bad request
   * (`idempotency_error`), a request at the same time a conflict, at once. A handler that throws has no result to save: its operation is
   * held, so that at least nothing runs twice. Unlike at Stripe a key belongs to a method and path: on another path it is free.
   */
  stripe: {
    required: false,
    methods: ['POST'],
    stores: () => true,
    mismatchStatus: 400,
    wait: 0,
    ttl: '24h',
    interrupted: { thrown: 'hold' },
  },
}
