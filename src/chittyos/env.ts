/** What is needed of a service binding: `fetch` by full URL. A `Fetcher` is one. */
interface ServiceBinding {
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/**
 * Where the ChittyOS services are and with what they are called. Per service: when its token is set, calls go to its
 * URL over the network; otherwise they go to the embedded services.
 */
export interface ChittyOsEnv {
  /** The embedded services. They answer for the default base URLs. */
  readonly CHITTYOS?: ServiceBinding;
  /** The one token of the embedded services (a secret). */
  readonly CHITTYOS_TOKEN?: string;

  readonly CHITTY_ID_SERVICE_TOKEN?: string;
  readonly CHITTY_AUTH_SERVICE_TOKEN?: string;
  readonly CHITTY_REGISTRY_TOKEN?: string;
  readonly CHITTY_DNA_TOKEN?: string;
  readonly CHITTY_VERIFY_TOKEN?: string;
  readonly CHITTY_CERTIFY_TOKEN?: string;
  readonly CHITTY_CHRONICLE_TOKEN?: string;

  /** Base URLs that replace the defaults, such as `https://id.chitty.cc`. */
  readonly CHITTY_ID_URL?: string;
  readonly CHITTY_AUTH_URL?: string;
  readonly CHITTY_REGISTRY_URL?: string;
  readonly CHITTY_DNA_URL?: string;
  readonly CHITTY_VERIFY_URL?: string;
  readonly CHITTY_CERTIFY_URL?: string;
  readonly CHITTY_CHRONICLE_URL?: string;

  /** What ChittyRegistry would say, for when it cannot be asked: a JSON array of services, or `{"services": […]}`. */
  readonly CHITTY_REGISTRY_FALLBACK?: string;
}

/** Whether there is a ChittyOS to speak to: its services were given tokens, or come embedded. */
export function hasChittyOs(env: ChittyOsEnv): boolean {
  return Boolean((env.CHITTYOS && env.CHITTYOS_TOKEN) || env.CHITTY_ID_SERVICE_TOKEN);
}
