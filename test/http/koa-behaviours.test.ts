import { showBehaviours } from './framework-behaviours.ts'

showBehaviours('koa', 'memory')
showBehaviours('koa', 'SQLite')
