import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('express', 'memory')
showBehaviours('express', 'SQLite')
