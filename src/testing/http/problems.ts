import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { jsonOf, type Answered } from './ask.ts'
import { courtesy, safety, type Behaviour } from './behaviour.ts'
import type { Subject } from './subject.ts'

/** What is said of each refusal, whatever led to it: RFC 9457. */
interface Refused {
  readonly code: string
  readonly status: number
  readonly retryable: boolean
  readonly from: (subject: Subject) => Promise<Answered>
  readonly args?: readonly string[]
}

const refusals: readonly Refused[] = [
  { code: 'idempotency_key_missing', status: 400, retryable: false, from: (subject) => subject.ask({ body: '1' }) },
  { code: 'idempotency_key_invalid', status: 400, retryable: false, from: (subject) => subject.ask({ key: 'a b', body: '1' }) },
  {
    code: 'idempotency_early_data',
    status: 425,
    retryable: true,
    from: (subject) => subject.ask({ key: 'k1', headers: { 'early-data': '1' } }),
  },
  {
    code: 'idempotency_request_too_large',
    status: 413,
    retryable: false,
    from: (subject) => subject.ask({ key: 'k1', body: Buffer.alloc(1_048_577) }),
  },
  {
    code: 'idempotency_key_reused',
    status: 422,
    retryable: false,
    from: async (subject) => {
      await subject.ask({ key: 'k1', body: '1' })
      return subject.ask({ key: 'k1', body: '2' })
    },
  },
  {
    code: 'idempotency_in_progress',
    status: 409,
    retryable: true,
    args: ['--wait-ms', '0'],
    from: async (subject) => {
      const running = subject.ask({ path: '/slow?ms=600', key: 'k1' })
      await sleep(100)
      const answer = await subject.ask({ path: '/slow?ms=600', key: 'k1' })
      await running
      return answer
    },
  },
  {
    code: 'idempotency_outcome_unknown',
    status: 409,
    retryable: false,
    args: ['--attempts-max', '1'],
    from: async (subject) => (await subject.askTwice({ path: '/status/500', key: 'k1' }))[1],
  },
  {
    code: 'idempotency_outcome_not_kept',
    status: 409,
    retryable: false,
    args: ['--body-max', '100'],
    from: async (subject) => (await subject.askTwice({ path: '/large?bytes=200', key: 'k1' }))[1],
  },
  {
    code: 'idempotency_outcome_expired',
    status: 410,
    retryable: false,
    args: ['--ttl-ms', '50', '--remember-ms', '60000'],
    from: async (subject) => {
      await subject.ask({ key: 'k1', body: '1' })
      await sleep(200)
      return subject.ask({ key: 'k1', body: '1' })
    },
  },
]

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(value ?? {}))
}

function assertProblem(answer: Answered, { code, status, retryable }: Refused): void {
  assert.equal(answer.status, status)
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  assert.equal(answer.headers['content-length'], String(answer.body.length))
  assert.equal(answer.headers['idempotent-replayed'], undefined)
  const { type, title, detail, ...members } = recordOf(jsonOf(answer))
  const expected = code === 'idempotency_outcome_not_kept' ? { originalStatus: 200 } : {}
  assert.deepEqual(members, { code, status, retryable, ...expected })
  assert.match(String(type), new RegExp(`^https://[^#]+#${code}$`))
  for (const words of [title, detail]) assert.ok(typeof words === 'string' && words.length > 10)
}

/** RFC 9457, and what the headers of RFC 9110 say beside it. */
export const problemBehaviours: readonly Behaviour[] = [
  ...refusals.map((refused) => {
    const sentence = `the refusal ${refused.code} is a problem that programs and people can read`
    // A framework's own limit may refuse such a body first, in words of its own.
    const behaviour = refused.code === 'idempotency_request_too_large' ? courtesy : safety
    return behaviour(sentence, refused.args ?? [], async (subject) => assertProblem(await refused.from(subject), refused))
  }),

  courtesy(
    'Retry-After is whole seconds where asking again later helps, and nowhere else',
    ['--wait-ms', '0'],
    async (subject) => {
      const running = subject.ask({ path: '/slow?ms=600', key: 'k1' })
      await sleep(100)
      const busy = await subject.ask({ path: '/slow?ms=600', key: 'k1' })
      assert.match(String(busy.headers['retry-after']), /^[1-9]\d*$/)
      const other = await subject.ask({ path: '/slow?ms=600', key: 'k1', body: '2' })
      assert.deepEqual([other.status, other.headers['retry-after']], [422, undefined])
      await running
    },
  ),
]
