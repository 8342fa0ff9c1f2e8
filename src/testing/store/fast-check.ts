/**
 * Loads fast-check, or says what to install: the library itself depends on nothing.
 * @param load `() => import('fast-check')`, so that its types stay out of the declarations
 */
export async function installed<Module>(load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (error) {
    throw new Error('onceward/testing needs fast-check: install fast-check as a dev dependency', { cause: error })
  }
}
