import { DatabaseSync } from 'node:sqlite'
import { onceward } from 'onceward'
import { sqlite } from 'onceward/sqlite'
import { handler, input } from './work.ts'

/**
 * Makes a file with this many completed records. The store itself makes the tables and one record; the others are copies of it
 * by SQL, as the store would have left them: each with an identity of its own, a key, and times that follow each other.
 */
export async function fill(path: string, records: number): Promise<void> {
  const once = onceward({ store: sqlite(path) })
  await once.run({ scope: 'acme', name: 'charge', key: 'the first record', input }, handler)
  await once.close()
  copyFirst(path, records - 1)
}

/** The copies are made one after the other until a moment ago, a millisecond apart, so that their times are as spread as real ones. */
function copied(column: string, copies: number): string {
  if (column === 'id') return 'randomblob(32)'
  if (column === 'key') return `'9b1deb4d-3b7d-4bad-9bdd-' || (200000000000 + number)`
  return /_(at|until)$/.test(column) ? `${column} - ${copies} + number` : column
}

function copyFirst(path: string, copies: number): void {
  const database = new DatabaseSync(path)
  // Nobody else has the file, and should the machine fail, the benchmark fails.
  database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000')
  const columns = database
    .prepare(`SELECT name FROM pragma_table_info('onceward') ORDER BY cid`)
    .all()
    .map(({ name }) => String(name))
  database.exec(`
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ${copies})
    INSERT INTO onceward (${columns.join(', ')})
    SELECT ${columns.map((name) => copied(name, copies)).join(', ')} FROM (SELECT * FROM onceward LIMIT 1), numbers`)
  const { count } = database.prepare('SELECT count(*) AS count FROM onceward').get() as { count: number }
  if (count !== copies + 1) throw new Error(`${copies + 1} records are meant, not ${count}`)
  database.close()
}
