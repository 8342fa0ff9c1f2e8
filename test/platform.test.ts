import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemPlatform } from '../src/platform.ts'

test('ids are 128 bits in hexadecimal, and no two are the same, also beyond one drawing of random bytes', () => {
  const ids = Array.from({ length: 2_000 }, () => systemPlatform.randomId())
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/)
})

test('the digest is SHA-256 in hexadecimal, of bytes and of the UTF-8 of a string', () => {
  const digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  assert.equal(systemPlatform.sha256('abc'), digest)
  assert.equal(systemPlatform.sha256(Uint8Array.of(0x61, 0x62, 0x63)), digest)
})
