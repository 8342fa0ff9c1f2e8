import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filesIn, textOf } from '../structure/source.ts'

test('every sentence by which the page of clients says that something is shown is a test', () => {
  const tests = filesIn('test/clients').map(textOf).join('\n')
  const sentences = Array.from(
    textOf('docs/clients.md').matchAll(/(?<=[|;] |^- )_(.+?)_(?=;| *\||$)/gm),
    ([, sentence = '']) => sentence,
  )
  assert.ok(sentences.length >= 14, String(sentences.length))
  assert.deepEqual(
    sentences.filter((sentence) => !tests.includes(`'${sentence}'`)),
    [],
  )
})
