import type { RecordFilter, RecordView } from './store.ts'
import { stateAt, type OperationRecord } from './record.ts'

/** What an operator sees of a record at `now`, by the store's clock; null when it counts as absent. */
export function viewAt(record: OperationRecord | null, now: number): RecordView | null {
  const state = record === null ? 'absent' : stateAt(record, now)
  if (record === null || state === 'absent') return null
  const lapsed = record.state === 'running' && state !== 'running'
  return { record, state, cause: lapsed ? 'lapsed' : record.cause }
}

/** Whether a record is one of those meant, at `now`, by the store's clock. */
export function isMeant({ record, state }: RecordView, filter: RecordFilter, now: number): boolean {
  return (
    (filter.scope === undefined || filter.scope === record.scope) &&
    (filter.name === undefined || filter.name === record.name) &&
    (filter.keyPrefix === undefined || record.key.startsWith(filter.keyPrefix)) &&
    (filter.state === undefined || filter.state === state) &&
    (filter.olderThanMs === undefined || record.createdAt <= now - filter.olderThanMs)
  )
}
