import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filesIn, textOf } from '../structure/source.ts'

test('every sentence by which the page of the HTTP door says that something is shown is a test', () => {
  const tests = [...filesIn('src/testing/http'), ...filesIn('test/http')].map(textOf).join('\n').replaceAll("\\'", "'")
  const sentences = Array.from(textOf('docs/http.md').matchAll(/(?<=[|;] )_([^_]+)_(?=;| *\|)/g), ([, sentence = '']) => sentence)
  assert.ok(sentences.length > 40)
  assert.deepEqual(
    sentences.filter((sentence) => !tests.includes(sentence.replace(/^\w+: /, ''))),
    [],
  )
})
