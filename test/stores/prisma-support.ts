import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { PrismaPg } from '@prisma/adapter-pg'

/** What the tests call of the client that Prisma makes of the schema below. */
export interface PrismaTx {
  readonly order: { create(of: { readonly data: { readonly item: string } }): Promise<unknown> }
  $queryRawUnsafe(sql: string, ...parameters: unknown[]): Promise<unknown>
}

interface GeneratedClient extends PrismaTx {
  $transaction<Value>(
    work: (tx: PrismaTx) => Promise<Value>,
    options: { readonly maxWait: number; readonly timeout: number },
  ): Promise<Value>
  $disconnect(): Promise<void>
}

interface Generated {
  readonly PrismaClient: new (options: { readonly adapter: PrismaPg }) => GeneratedClient
  readonly remove: () => Promise<void>
}

const SCHEMA = `
generator client {
  provider = "prisma-client"
  output   = "./generated"
}
datasource db {
  provider = "postgresql"
}
model Order {
  id   Int    @id @default(autoincrement())
  item String
  @@map("orders")
}
`

/** Makes a client, in a directory of its own; or tells why that cannot be done. */
export async function prismaClient(): Promise<Generated | { readonly refused: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'onceward-prisma-'))
  const remove = async (): Promise<void> => rm(directory, { recursive: true, force: true })
  try {
    const prisma = join(dirname(createRequire(import.meta.url).resolve('prisma/package.json')), 'build', 'index.js')
    await symlink(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(directory, 'node_modules'))
    const schema = join(directory, 'schema.prisma')
    await writeFile(schema, SCHEMA)
    // The engine of migrations, which is not used here: any program will do, so that none is downloaded.
    const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' }
    await promisify(execFile)(process.execPath, [prisma, 'generate', '--schema', schema], {
      cwd: directory,
      env,
      timeout: 60_000,
    })
    const client = join(directory, 'generated', 'client.ts')
    if (!existsSync(client)) throw new Error('no client was generated')
    const { PrismaClient } = (await import(pathToFileURL(client).href)) as Pick<Generated, 'PrismaClient'>
    return { PrismaClient, remove }
  } catch (error) {
    await remove()
    return {
      refused: `Prisma's client cannot be generated here: ${error instanceof Error ? error.message.slice(0, 300) : String(error)}`,
    }
  }
}
