import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { printedSeed } from '../support/seed.ts';
import { ROOT } from '../support/server.ts';

/** Tamperings of the short form; `npm run tamper` does a hundred. */
const ROUNDS = 3;
/** It starts a server some eight times, and waits for what comes a moment later: two minutes, or ten times that. */
const TIMEOUT_MS = 1_200_000;

const script = join(ROOT, 'scripts', 'tamper.ts');

describe('what is done to the files of a stopped server', () => {
  it(`is found and named, ${ROUNDS} times of ${ROUNDS}, and nothing when nothing was done`, {
    timeout: TIMEOUT_MS,
  }, async () => {
    const seed = printedSeed('tampering run');
    const { stdout } = await promisify(execFile)(process.execPath, [
      script,
      ...['--rounds', String(ROUNDS), '--seed', String(seed)],
    ]);
    expect(stdout).toContain(
      `tamper: ${ROUNDS} of ${ROUNDS} tamperings found and named, ${ROUNDS} clean runs, 0 violations, seed ${seed}`,
    );
  });

  it('is not tried with options that make no sense', async () => {
    for (const options of [['--rounds', '0'], ['--seed', 'x'], ['--fast']]) {
      const run = promisify(execFile)(process.execPath, [script, ...options]);
      await expect(run).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('Usage: npm run tamper') });
    }
  });
});
