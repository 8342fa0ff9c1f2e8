// `once.run` around a function that must not run twice: node --conditions=onceward-source examples/run.ts
import { onceward } from 'onceward'
import { sqlite } from 'onceward/sqlite'

// In earnest the path of a file, such as 'onceward.db': then the second call may come from another process, or tomorrow.
const once = onceward({ store: sqlite(':memory:') })
let mailsSent = 0

async function welcome(input: { readonly email: string }): Promise<string> {
  return once.run({ scope: 'shop', name: 'welcome', key: input.email, input }, () => {
    mailsSent += 1
    return `welcome, ${input.email}`
  })
}

console.log(await welcome({ email: 'ada@example.com' }))
console.log(await welcome({ email: 'ada@example.com' }))
console.log(`mails sent: ${mailsSent}`)
await once.close()
