/** Registers a case with a test runner: the `test` of node:test, vitest and jest all fit. */
export type RegisterTest = (name: string, body: () => Promise<void>) => unknown

/** A case of a suite, as far as deviations go. */
export interface Deviable {
  readonly name: string
  /** Admits no deviation. */
  readonly safety: boolean
}

/** @throws Error when a deviation names no case, a safety case, or no reason */
export function checkDeviations(deviations: Readonly<Record<string, string>>, cases: readonly Deviable[]): void {
  for (const [name, reason] of Object.entries(deviations)) {
    const found = cases.find((each) => each.name === name)
    if (found === undefined) throw new Error(`the deviation '${name}' names no case of the suite: give a case's whole name`)
    if (found.safety) throw new Error(`'${name}' is a safety case and admits no deviation: mend what is tested`)
    if (reason.trim() === '') throw new Error(`the deviation '${name}' has no reason: say why there is one`)
  }
}

/** Registers a case; one that deviates must fail, so that no deviation outlives its reason. */
export function registerCase(
  test: RegisterTest,
  { name, reason }: { readonly name: string; readonly reason: string | undefined },
  run: () => Promise<void>,
): void {
  if (reason === undefined) test(name, run)
  else test(`${name} (deviates: ${reason})`, async () => fails(run))
}

async function fails(run: () => Promise<void>): Promise<void> {
  const failed = await run().then(
    () => false,
    () => true,
  )
  if (!failed) throw new Error('nothing deviates here any more: remove the deviation')
}
