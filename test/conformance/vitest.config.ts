import { defineConfig } from 'vitest/config';

/** Runs the official conformance tests of the Durable Streams protocol; test/node/durable-streams.test.ts starts it. */
export default defineConfig({
  test: { include: ['test/conformance/durable-streams.ts'], testTimeout: 30_000, maxConcurrency: 20 },
});
