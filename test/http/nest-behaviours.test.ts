import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('nest', 'memory')
showBehaviours('nest', 'SQLite')
