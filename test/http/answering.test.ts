import assert from 'node:assert/strict'
import { createReadStream, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { allFrameworks, serve, type Framework, type Handler } from './serving.ts'
import { ask, isReplay } from '../../src/testing/http/ask.ts'
import { lasting } from './lasting.ts'
import type { Response } from 'express'

const file = join(mkdtempSync(join(tmpdir(), 'onceward-')), 'answer.txt')
writeFileSync(file, 'a line of text\n'.repeat(20_000)) // 300 kB: more than is held

const later = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Ways to answer on Node's response, each of which must come through unchanged. */
const waysOfNode: Readonly<Record<string, Handler>> = {
  'end with text': (_, response) => response.end('héllo'),
  'end without anything': (_, response) => response.end(),
  'end with a callback': (_, response) => new Promise<void>((resolve) => response.end('called back', resolve)),
  'end with a callback only': (_, response) => new Promise<void>((resolve) => response.end(resolve)),
  'end in latin1': (_, response) => response.setHeader('content-type', 'text/plain; charset=latin1').end('héllo', 'latin1'),
  'end in hex': (_, response) => response.end('00ff10', 'hex'),
  'end in base64': (_, response) => response.end('AP8Q', 'base64'),
  'end with bytes': (_, response) => response.end(new Uint8Array([0, 255, 128, 13, 10])),
  'end in another turn': async (_, response) => {
    await later()
    response.end('later')
  },
  'end much later than the handler returned': (_, response) => void setTimeout(() => response.end('much later'), 20),
  'writeHead with headers': (_, response) => response.writeHead(201, { 'x-a': '1', 'x-b': ['2', '3'] }).end('head'),
  'writeHead with a reason': (_, response) => response.writeHead(202, 'Fine', { 'x-a': '1' }).end('head'),
  'writeHead with a flat list': (_, response) => response.writeHead(201, ['x-a', '1', 'x-a', '2']).end('head'),
  'writeHead over set headers': (_, response) => response.setHeader('x-a', '1').writeHead(201, { 'x-a': '2' }).end('head'),
  'status 204': (_, response) => response.writeHead(204).end(),
  'status 204 with a body that is dropped': (_, response) => response.writeHead(204).end('dropped'),
  'status 304': (_, response) => response.writeHead(304, { etag: '"1"' }).end(),
  'write several times in one turn': (_, response) => {
    response.write('a')
    response.write(Buffer.from('b'))
    response.write('63', 'hex')
    response.end('d')
  },
  'write with a declared length': (_, response) => {
    response.writeHead(200, { 'content-length': 6 })
    response.write('abc')
    response.write('def')
    response.end()
  },
  'write with a declared length over turns': async (_, response) => {
    response.setHeader('content-length', 6)
    for (const chunk of ['ab', 'cd', 'ef']) {
      response.write(chunk)
      await later()
    }
    response.end()
  },
  'write with a declared length and wait for each callback': async (_, response) => {
    response.setHeader('content-length', 3)
    for (const chunk of ['a', 'b', 'c']) await new Promise((resolve) => response.write(chunk, resolve))
    response.end()
  },
  'write and wait for each callback': async (_, response) => {
    for (const chunk of ['a', 'b', 'c']) await new Promise((resolve) => response.write(chunk, resolve))
    response.end()
  },
  'write from one buffer that is used again': async (_, response) => {
    const buffer = Buffer.alloc(1_000)
    for (const letter of ['a', 'b', 'c', 'd']) {
      buffer.fill(letter)
      await new Promise((resolve) => response.write(buffer, resolve))
    }
    response.end()
  },
  'end with a buffer that is used again': (_, response) => {
    const buffer = Buffer.from('mine')
    response.end(buffer, () => buffer.fill(0))
  },
  'flushHeaders first': async (_, response) => {
    response.setHeader('x-a', '1')
    response.flushHeaders()
    await later()
    response.end('after the headers')
  },
  'corked writes': (_, response) => {
    response.cork()
    response.write('a')
    response.write('b')
    response.uncork()
    response.end('c')
  },
  'pipe a file': (_, response) => void createReadStream(file).pipe(response),
  'pipe what is there already': (_, response) => void Readable.from(['a', 'b', 'c']).pipe(response),
  'pipe a slow source': (_, response) => {
    const source = new PassThrough()
    source.pipe(response)
    void later().then(() => source.write('slow'))
    void later(15).then(() => source.end('er'))
  },
  'pipeline a file': async (_, response) => pipeline(createReadStream(file), response),
  'large in one piece': (_, response) => response.end(Buffer.alloc(200_000, 'y')),
  'large in pieces': async (_, response) => {
    for (let index = 0; index < 20; index += 1)
      if (!response.write(Buffer.alloc(10_000, String(index % 10))))
        await new Promise((resolve) => response.once('drain', resolve))
    response.end()
  },
  'appended headers': (_, response) => {
    response.appendHeader('x-a', '1')
    response.appendHeader('x-a', '2')
    response.setHeader('x-b', 3)
    response.end('headers')
  },
  'an error of the application': (_, response) => response.writeHead(404, { 'content-type': 'text/plain' }).end('none'),
}

/** Node takes pairs only while no header is set, which in Express one always is. */
const waysOfNodeAlone: Readonly<Record<string, Handler>> = {
  'writeHead with a list of pairs': (_, response) =>
    response.writeHead(201, [['x-a', '1'] as never, ['x-b', '2'] as never]).end('head'),
}

const waysOfExpress: Readonly<Record<string, Handler>> = {
  json: (_, response) => (response as Response).status(201).json({ a: [1, 'é'] }),
  'send text': (_, response) => (response as Response).send('text'),
  'send bytes': (_, response) => (response as Response).send(Buffer.from([0, 255])),
  sendStatus: (_, response) => (response as Response).sendStatus(202),
  redirect: (_, response) => (response as Response).redirect(303, '/elsewhere'),
  sendFile: (_, response) => (response as Response).sendFile(file),
  'status and end': (_, response) => (response as Response).status(204).end(),
  location: (_, response) => (response as Response).location('/made/1').status(201).send(),
}

/** What a framework's own tests show is left out. */
const waysOf: Readonly<Partial<Record<Framework, Readonly<Record<string, Handler>>>>> = {
  node: waysOfNodeAlone,
  express: waysOfExpress,
  express4: waysOfExpress,
}

for (const framework of allFrameworks)
  for (const [way, handler] of Object.entries({ ...waysOfNode, ...waysOf[framework] }))
    test(`${framework}: ${way}: the layer changes nothing, and the replay is the same`, async () => {
      const bare = await serve(framework, handler, { bare: true })
      const served = await serve(framework, handler)
      try {
        const plain = await ask(bare.url, { path: '/' })
        const first = await ask(served.url, { path: '/', key: 'k1' })
        const second = await ask(served.url, { path: '/', key: 'k1' })
        assert.deepEqual(lasting(first), lasting(plain))
        assert.deepEqual(lasting(second), lasting(plain))
        assert.deepEqual([isReplay(first), isReplay(second)], [false, true])
        // How it is framed is Node's affair in the first answer, too.
        for (const name of ['content-length', 'transfer-encoding']) assert.equal(first.headers[name], plain.headers[name], name)
        assert.deepEqual(served.errors, [])
      } finally {
        await Promise.all([bare.close(), served.close()])
      }
    })
