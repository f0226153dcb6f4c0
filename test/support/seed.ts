import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** What SEED was set to, if it was (vitest.config.ts provides it, because workerd has no environment). */
    seed: string | undefined;
  }
}

/** The seed of a property test, printed so that a failure can be run again: `SEED=<n> npm test`. */
export function printedSeed(test: string): number {
  const fromEnvironment = inject('seed');
  const seed = fromEnvironment === undefined ? Date.now() % 2 ** 31 : Number(fromEnvironment);
  console.log(`${test}: SEED=${seed}`);
  return seed;
}
