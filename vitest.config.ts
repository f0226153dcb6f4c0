import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';

/** The key that the tests use. */
const TEST_KEY = 'cck_test-key-of-the-worker-tests';

/** What the tests sign with in GitHub's place. */
const TEST_WEBHOOK_SECRET = 'the secret of the webhook in the worker tests';

/** What the tests' signing keys are encrypted with: 32 bytes in base64url. */
const TEST_KEY_ENCRYPTION_KEY = 'dGhlIGtleSBlbmNyeXB0aW9uIGtleSBvZiB0ZXN0cyE';

/** How long a test of a Worker may take, in milliseconds: on a machine that does much else five seconds are soon over. */
const TIMEOUT_MS = 30_000;
/** How long one may take that starts the product itself, several times perhaps: a start takes 2 s, on a busy machine ten times that. */
const SERVER_TIMEOUT_MS = 300_000;

const migrations = await readD1Migrations('projections/migrations');

export default defineConfig({
  test: {
    provide: { seed: process.env.SEED },
    projects: [
      {
        plugins: [
          cloudflareTest({
            main: './test/worker/entry.ts',
            wrangler: { configPath: './wrangler.toml' },
            miniflare: {
              bindings: {
                BOOTSTRAP_API_KEY: TEST_KEY,
                GITHUB_WEBHOOK_SECRET: TEST_WEBHOOK_SECRET,
                KEY_ENCRYPTION_KEY: TEST_KEY_ENCRYPTION_KEY,
              },
              // Without CHITTYOS_TOKEN nothing is sent there: contexts keep to themselves in these tests.
              serviceBindings: { CHITTYOS: () => new Response('not embedded', { status: 503 }) },
              durableObjects: { COUNTERS: { className: 'CounterObject', useSQLite: true } },
            },
          }),
        ],
        test: {
          name: 'worker',
          include: ['test/worker/**/*.test.ts'],
          setupFiles: ['./test/support/patience.ts', './test/worker/setup.ts'],
          testTimeout: TIMEOUT_MS,
          hookTimeout: TIMEOUT_MS,
          provide: { migrations },
        },
      },
      {
        plugins: [
          cloudflareTest({
            main: './embedded/worker.ts',
            wrangler: { configPath: './embedded/wrangler.toml' },
            miniflare: { bindings: { CHITTYOS_TOKEN: TEST_KEY } },
          }),
        ],
        test: {
          name: 'embedded',
          include: ['test/embedded/**/*.test.ts'],
          setupFiles: ['./test/support/patience.ts'],
          testTimeout: TIMEOUT_MS,
        },
      },
      {
        test: {
          name: 'node',
          include: ['test/node/**/*.test.ts'],
          setupFiles: ['./test/support/patience.ts'],
          testTimeout: SERVER_TIMEOUT_MS,
          hookTimeout: SERVER_TIMEOUT_MS,
        },
      },
    ],
  },
});
