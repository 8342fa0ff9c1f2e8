import { InputError } from '../core/errors.ts'
import type { Resolution } from '../core/record.ts'

/** An operator's decision is kept with who made it and why: neither may be missing. */
export function checkResolution({ actor, reason }: Resolution): void {
  if (typeof actor !== 'string' || actor === '')
    throw new InputError('actor is missing: say who decides, it is kept with the operation')
  if (typeof reason !== 'string' || reason === '')
    throw new InputError('reason is missing: say why, it is kept with the operation')
}
