import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('fetch', 'memory')
showBehaviours('fetch', 'SQLite')
