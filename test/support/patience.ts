import { vi } from 'vitest';

/** How long a test waits for what comes a moment later: on a machine that does much else a second is no long time. */
const PATIENCE_MS = 10_000;

const { waitFor } = vi;
vi.waitFor = (callback, options = PATIENCE_MS) => waitFor(callback, options);
