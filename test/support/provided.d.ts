import 'vitest';

declare module 'vitest' {
  /** What vitest.config.ts gives to tests, some of which run in workerd and have no environment. */
  interface ProvidedContext {
    /** What SEED was set to, if it was. */
    seed: string | undefined;
    /** The migrations of the read models. */
    migrations: { name: string; queries: string[] }[];
  }
}
