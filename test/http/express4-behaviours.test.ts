import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('express4', 'memory')
showBehaviours('express4', 'SQLite')
