import { inject } from 'vitest';

/** The seed of a property test, printed so that a failure can be run again: `SEED=<n> npm test`. */
export function printedSeed(test: string): number {
  const fromEnvironment = inject('seed');
  const seed = fromEnvironment === undefined ? Date.now() % 2 ** 31 : Number(fromEnvironment);
  console.log(`${test}: SEED=${seed}`);
  return seed;
}
