import { isWithin } from '../within.ts';
import type { RegisteredService } from './chitty-registry.ts';
import type { CallResult } from './failure.ts';
import { SingleFlight } from './single-flight.ts';

/** How long a list of services is good for. */
const FRESH_MS = 5 * 60 * 1000;

/** The age from which a list is renewed in the background, so that nobody ever waits for it. */
const RENEW_MS = 4 * 60 * 1000;

/** How long an old list is better than none while the registry fails. */
const STALE_MAX_MS = 24 * 60 * 60 * 1000;

/** How long the registry is left alone after it failed, so that not every caller waits for it. */
const FAILURE_PAUSE_MS = 10_000;

/** How long others wait for the one who asks the registry: longer than that call can take. */
const PATIENCE_MS = 15_000;

/** Where a list of services came from. */
export type DiscoverySource = 'registry' | 'cache' | 'stale' | 'fallback';

/** The services that there are. */
export interface Discovery {
  readonly services: readonly RegisteredService[];
  readonly source: DiscoverySource;
  /** When the registry gave it (ISO 8601); null for the configured list. */
  readonly asOf: string | null;
}

type Loaded = CallResult<readonly RegisteredService[]>;

/** Keeps work going after the answer was sent. */
export type WaitUntil = (work: Promise<unknown>) => void;

/** The list of services that an isolate remembers. */
export class RegistryCache {
  readonly #flight = new SingleFlight<Loaded>();
  #list: readonly RegisteredService[] | null = null;
  #loadedAt = 0;
  /** The last failure, for which the registry is left alone for a while, and when it was. */
  #failed: { readonly result: Loaded & { ok: false }; readonly at: number } | null = null;

  /**
   * The services: from memory while they are fresh, else from the registry, else what was known before.
   *
   * @param load asks the registry
   * @returns the failure when nothing is known at all
   */
  async get(load: () => Promise<Loaded>, waitUntil: WaitUntil): Promise<CallResult<Discovery>> {
    const ageMs = Date.now() - this.#loadedAt;
    if (this.#list && isWithin(FRESH_MS, this.#loadedAt)) {
      if (ageMs >= RENEW_MS && !this.#flight.isUnderWay && !this.#pausing()) waitUntil(this.#renew(load));
      return this.#known(this.#list, 'cache');
    }
    const loaded = this.#pausing()?.result ?? (await this.#renew(load));
    if (loaded?.ok) return this.#known(loaded.value, 'registry');
    if (this.#list && Date.now() - this.#loadedAt < STALE_MAX_MS) return this.#known(this.#list, 'stale');
    return loaded ?? lost();
  }

  #pausing() {
    return this.#failed && isWithin(FAILURE_PAUSE_MS, this.#failed.at) ? this.#failed : null;
  }

  #known(services: readonly RegisteredService[], source: DiscoverySource): CallResult<Discovery> {
    return { ok: true, value: { services, source, asOf: new Date(this.#loadedAt).toISOString() } };
  }

  #renew(load: () => Promise<Loaded>): Promise<Loaded | null> {
    return this.#flight.run(async () => {
      const loaded = await load();
      if (loaded.ok) {
        this.#list = loaded.value;
        this.#loadedAt = Date.now();
        this.#failed = null;
      } else {
        this.#failed = { result: loaded, at: Date.now() };
      }
      return loaded;
    }, PATIENCE_MS);
  }
}

/** What those get who waited for a request that was cancelled. */
function lost(): CallResult<Discovery> {
  const detail = 'The request that asked the registry did not come back.';
  return {
    ok: false,
    failure: { service: 'registry', operation: 'discover', kind: 'timeout', detail, retryable: true },
  };
}
