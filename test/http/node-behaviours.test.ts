import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('node', 'memory')
showBehaviours('node', 'SQLite')
