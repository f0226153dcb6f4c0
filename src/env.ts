import type { ContextObject } from './objects.ts';

/** The bindings of wrangler.toml, its variables and the secrets. */
export interface Env {
  readonly CONTEXTS: DurableObjectNamespace<ContextObject>;
  /** The read models (projections/). */
  readonly DB: D1Database;
  /** Origins that browsers may call from, separated by commas; `*` for any; empty for none. */
  readonly CORS_ORIGINS?: string;
  /** The key of the first administrator (a secret). */
  readonly BOOTSTRAP_API_KEY?: string;
  /** Its SHA-256 in hexadecimal digits, for those who would rather not hand the key itself over. */
  readonly BOOTSTRAP_API_KEY_SHA256?: string;
}
