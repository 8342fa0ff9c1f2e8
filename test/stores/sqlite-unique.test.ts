import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { onceward } from 'onceward'
import { sqlite } from 'onceward/sqlite'

test('the SQLite file itself refuses a second row of one operation, whoever writes it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'onceward-'))
  const path = join(directory, 'onceward.db')
  const once = onceward({ store: sqlite(path) })
  await once.run({ scope: 'acme', name: 'charge', key: 'k' }, () => 'done')
  const other = new DatabaseSync(path)
  assert.throws(() => other.exec('INSERT INTO onceward SELECT * FROM onceward'), /UNIQUE constraint failed/)
  other.close()
  await once.close()
  rmSync(directory, { recursive: true })
})
