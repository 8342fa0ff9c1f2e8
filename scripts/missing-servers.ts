// Names the servers that are missing here, a line each, and ends with 1 if there are any; with --packages the names of their packages.
import { missingServers, notRun } from './servers/kinds.ts'

const missing = await missingServers()
const isPackages = process.argv.includes('--packages')
for (const kind of missing) console.log(isPackages ? kind.package : notRun(kind))
if (missing.length > 0) process.exitCode = 1
