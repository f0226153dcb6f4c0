import type { EmbeddedEnv } from '../../embedded/env.ts';

declare global {
  namespace Cloudflare {
    interface Env extends EmbeddedBindings {}
  }
}

/** The token is left out: each test brings its own. */
type EmbeddedBindings = Omit<EmbeddedEnv, 'CHITTYOS_TOKEN'>;
