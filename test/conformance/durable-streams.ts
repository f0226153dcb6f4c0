import { runConformanceTests } from '@durable-streams/server-conformance-tests';

/** Where the streams are, as test/support/writable-streams.ts serves them. */
const baseUrl = process.env.CONFORMANCE_TEST_URL;
if (baseUrl === undefined) throw new Error('CONFORMANCE_TEST_URL is not set');

runConformanceTests({ baseUrl, longPollTimeoutMs: 25_000 });
