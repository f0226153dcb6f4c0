import { execFile } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { StartError } from './data-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where the bundles are put. */
export const BUNDLES = {
  /** The product. */
  worker: `${root}.build/worker.js`,
  /** The ChittyOS services that come with it. */
  embedded: `${root}.build/embedded.js`,
} as const;

/**
 * Bundles both Workers the way `wrangler deploy` does. A bundle is put in place in one step, so that a server that is
 * starting elsewhere at the same time never reads half of one.
 *
 * @throws {StartError} with wrangler's own words when the code does not build
 */
export async function build(): Promise<void> {
  await Promise.all([bundle('wrangler.toml', BUNDLES.worker), bundle('embedded/wrangler.toml', BUNDLES.embedded)]);
}

async function bundle(config: string, target: string): Promise<void> {
  const outdir = `${target}.${process.pid}`;
  mkdirSync(outdir, { recursive: true });
  try {
    await promisify(execFile)(
      process.execPath,
      [`${root}node_modules/wrangler/bin/wrangler.js`, 'deploy', '--dry-run', '--outdir', outdir, '-c', config],
      { cwd: root, env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG: 'error' } },
    ).catch((error: { stderr?: string }) => {
      throw new StartError(`The code does not build. wrangler says:\n${error.stderr?.trim() || error}`);
    });
    renameSync(`${outdir}/worker.js`, target);
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}
