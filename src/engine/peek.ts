import type { Peek } from './once.ts'
import type { RecordView } from '../core/store.ts'

/** What a record's view tells of its operation. */
export function peekAt(view: RecordView | null): Peek {
  if (view === null) return { state: 'absent' }
  const { record, state, cause } = view
  const { attempt, outcome, resolution } = record
  switch (state) {
    case 'running':
      return { state, attempt }
    case 'interrupted':
    case 'held':
      return { state, attempt, cause: cause ?? 'lapsed' }
    case 'completed':
      if (outcome === null) throw new Error(`record ${record.id} is completed without an outcome: the store is damaged`)
      return { state, attempt, outcome, resolution }
    case 'expired':
      return { state }
  }
}
