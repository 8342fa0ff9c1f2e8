import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Outcome } from '../../src/core/record.ts'
import type { Claim, Fence, Settlement } from '../../src/core/transitions.ts'
import type { Store } from '../../src/core/store.ts'

/** A claim of the key's operation by an owner of its own. */
export function claimOf(key: string, changes: Partial<Claim> = {}): Claim {
  const scope = changes.scope ?? 'acme'
  const name = changes.name ?? 'charge'
  const interrupted = { answered: 'retry', thrown: 'retry', lapsed: 'retry' } as const
  return {
    id: sha256(JSON.stringify([scope, name, key])),
    scope,
    name,
    key,
    fingerprint: sha256('input'),
    owner: randomUUID(),
    leaseMs: 10_000,
    policy: { ttlMs: 86_400_000, rememberMs: 0, interrupted, attemptsMax: 10 },
    ...changes,
  }
}

/** As many claims, of keys that begin with this word. */
export function claimsOf(count: number, word: string, changes: Partial<Claim> = {}): readonly Claim[] {
  return Array.from({ length: count }, (_, index) => claimOf(`${word}-${index}`, changes))
}

/** The fence of a claim's first attempt. */
export function fenceOf({ id, owner }: Claim): Fence {
  return { id, attempt: 1, owner }
}

/** The states that claims are answered. */
export async function answersOf(store: Store, claims: readonly Claim[]): Promise<readonly string[]> {
  return (await store.claim(claims)).map(({ state }) => state)
}

/** Resolves to what the store shows of the claims: their states, null where there is nothing. */
export async function statesOf(store: Store, claims: readonly { readonly id: string }[]): Promise<(string | null)[]> {
  const views = await store.find(claims.map(({ id }) => id))
  return views.map((view) => view?.state ?? null)
}

/** The completion of the claim's first attempt. */
export function completionOf(claim: Claim, body: Uint8Array | string = 'done', meta = 'text'): Settlement {
  return { kind: 'complete', ...fenceOf(claim), outcome: outcomeOf(body, meta) }
}

export function outcomeOf(body: Uint8Array | string, meta = 'text'): Outcome {
  return { kept: true, meta, body: typeof body === 'string' ? new TextEncoder().encode(body) : body }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

const cleanUps = new WeakMap<TestContext, (() => unknown)[]>()

/** Undoes in the opposite order: what lies on a disk is closed before the disk goes. */
export function afterwards(t: TestContext, undo: () => unknown): void {
  const undos = cleanUps.get(t) ?? []
  if (undos.length === 0)
    t.after(async () => {
      for (const each of undos.toReversed()) await each()
    })
  cleanUps.set(t, undos)
  undos.push(undo)
}

/** A directory of its own, removed after the test. */
export function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'onceward-'))
  afterwards(t, () => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A file system of `bytes` in memory, unmounted after the test; a reason, in words, where the machine refuses. */
export function smallDisk(t: TestContext, bytes: number): { readonly path: string } | { readonly refused: string } {
  const path = directory(t)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    return { refused: 'this machine does not let the test mount a small file system' }
  }
  afterwards(t, () => execFileSync('umount', ['-l', path]))
  return { path }
}

/** Fills the disk of this directory but for so many bytes; the file that does, to be removed. */
export function fillerOf(path: string, leftBytes: number): string {
  const free = Number(execFileSync('df', ['--output=avail', '-B1', path]).toString().split('\n')[1])
  const filler = join(path, 'filler')
  writeFileSync(filler, Buffer.alloc(Math.max(free - leftBytes, 0)))
  return filler
}
