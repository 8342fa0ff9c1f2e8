// npm leaves an optional platform package out of the lockfile when the registry in use does not carry it, and `npm ci` then
// refuses that lockfile. This adds the left-out ones by name, version, os and cpu: npm skips them where they do not fit.
// Run after `npm install` has rewritten package-lock.json: node scripts/complete-lockfile.mjs
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))
const operatingSystems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'openharmony', 'sunos', 'wasi', 'wasm32', 'win32']
const processors = ['arm', 'arm64', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64', 'wasm32']

/** The platform a package is named for, e.g. `@oxlint/binding-linux-arm-gnueabihf` → linux, arm. */
function platformOf(name) {
  const words = name.split(/[/_-]/)
  const os = operatingSystems.filter((each) => words.includes(each))
  const cpu = processors.filter((each) => words.includes(each))
  return { ...(os.length > 0 && { os }), ...(cpu.length > 0 && { cpu }) }
}

let added = 0
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const candidates = [`${path}/node_modules/${name}`, `node_modules/${name}`]
    if (candidates.some((candidate) => lock.packages[candidate]?.version)) continue
    if (!/^\d/.test(version)) throw new Error(`${name}@${version} is a range: only pinned platform packages can be added`)
    lock.packages[`node_modules/${name}`] = { version, optional: true, dev: true, ...platformOf(name) }
    added += 1
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`${added} optional packages added`)
