import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

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
 * @throws with wrangler's own words when the code does not build
 */
export function build(): void {
  bundle('wrangler.toml', BUNDLES.worker);
  bundle('embedded/wrangler.toml', BUNDLES.embedded);
}

function bundle(config: string, target: string): void {
  const outdir = `${root}.build/${process.pid}`;
  mkdirSync(outdir, { recursive: true });
  try {
    execFileSync(
      process.execPath,
      [`${root}node_modules/wrangler/bin/wrangler.js`, 'deploy', '--dry-run', '--outdir', outdir, '-c', config],
      {
        cwd: root,
        env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG: 'error' },
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
    renameSync(`${outdir}/worker.js`, target);
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}
