import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('hono', 'memory')
showBehaviours('hono', 'SQLite')
