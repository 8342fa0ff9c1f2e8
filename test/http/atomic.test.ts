import { after } from 'node:test'
import { frameworks } from '../fixture/options.ts'
import { showAtomic } from './atomic-cases.ts'
import { freshPath, killAll } from './child.ts'

after(killAll)

for (const framework of frameworks) showAtomic(framework, 'SQLite', async () => `sqlite:${freshPath('onceward.db')}`)
