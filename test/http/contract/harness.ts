export { subjectOf } from '../../../src/testing/http/subject.ts'
export type { Subject } from '../../../src/testing/http/subject.ts'
