import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('nest-fastify', 'memory')
showBehaviours('nest-fastify', 'SQLite')
