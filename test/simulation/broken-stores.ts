import { FaultyStore } from '../engine/faulty-store.ts'
import type { Claim, ClaimResult, Settlement, SettleResult } from 'onceward'

/** A store that breaks its contract: a settlement is accepted whoever sends it, as if it were the owner's. */
export class FencelessStore extends FaultyStore {
  override async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    const views = await this.inner.find(settlements.map(({ id }) => id))
    const asOwner = settlements.map((settlement, index) => {
      const record = views[index]?.record
      if (record === undefined || !('attempt' in settlement)) return settlement
      return { ...settlement, owner: record.owner, attempt: record.attempt }
    })
    return this.inner.settle(asOwner)
  }
}

/** What an engine sees that does not heed its fence: it is told that its settlement was accepted, and hands out its own answer. */
export class CarelessStore extends FaultyStore {
  override async settle(settlements: readonly Settlement[]): Promise<readonly SettleResult[]> {
    const results = await this.inner.settle(settlements)
    return results.map(() => 'ok')
  }
}

/** A store that breaks its contract: it grants what somebody else holds a live lease of. */
export class LeaselessStore extends FaultyStore {
  override async claim(claims: readonly Claim[]): Promise<readonly ClaimResult[]> {
    const views = await this.inner.find(claims.map(({ id }) => id))
    const taken = views.flatMap((view, index) =>
      view?.state === 'running' && view.record.owner !== claims[index]?.owner ? [view] : [],
    )
    await this.inner.settle(
      taken.map(({ record: { id, attempt, owner } }) => ({ kind: 'interrupt', cause: 'thrown', id, attempt, owner })),
    )
    return this.inner.claim(claims)
  }
}
