import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('fastify', 'memory')
showBehaviours('fastify', 'SQLite')
