import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where the bundle is put. */
export const BUNDLE = `${root}.build/worker.js`;

/**
 * Bundles the Worker the way `wrangler deploy` does.
 *
 * @throws with wrangler's own words when the code does not build
 */
export function build(): void {
  execFileSync(
    process.execPath,
    [`${root}node_modules/wrangler/bin/wrangler.js`, 'deploy', '--dry-run', '--outdir', '.build'],
    {
      cwd: root,
      env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG: 'error' },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
}
