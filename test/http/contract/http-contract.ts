export { httpContract } from 'onceward/testing'
