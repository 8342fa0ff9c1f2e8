import { readFileSync } from 'node:fs'

/** Whom a program runs as; empty for the present user. */
export interface ServerUser {
  readonly uid?: number
  readonly gid?: number
}

/** The first of these users that there is, where the present one is root, which servers refuse. */
export function serverUser(names: readonly string[]): ServerUser {
  if (process.getuid?.() !== 0) return {}
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const name of names) {
    const [, , uid, gid] = users.find(([user]) => user === name) ?? []
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error(`this machine has none of the users ${names.join(', ')}, and the server refuses root`)
}
