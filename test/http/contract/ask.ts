export { ask, begin, codeOf, isReplay, rawPost, sendRaw } from '../../../src/testing/http/ask.ts'
export type { Answered } from '../../../src/testing/http/ask.ts'
