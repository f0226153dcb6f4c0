import type { ChittyAuthObject } from './chitty-auth.ts';
import type { ChittyCertifyObject } from './chitty-certify.ts';
import type { ChittyChronicleObject } from './chitty-chronicle.ts';
import type { ChittyDnaObject } from './chitty-dna.ts';
import type { ChittyIdObject } from './chitty-id.ts';
import type { ChittyRegistryObject } from './chitty-registry.ts';
import type { ChittyVerifyObject } from './chitty-verify.ts';
import type { FaultsObject } from './faults.ts';

/** The bindings of wrangler.toml and the secret. */
export interface EmbeddedEnv {
  readonly CHITTY_ID: DurableObjectNamespace<ChittyIdObject>;
  readonly CHITTY_AUTH: DurableObjectNamespace<ChittyAuthObject>;
  readonly CHITTY_REGISTRY: DurableObjectNamespace<ChittyRegistryObject>;
  readonly CHITTY_DNA: DurableObjectNamespace<ChittyDnaObject>;
  readonly CHITTY_VERIFY: DurableObjectNamespace<ChittyVerifyObject>;
  readonly CHITTY_CERTIFY: DurableObjectNamespace<ChittyCertifyObject>;
  readonly CHITTY_CHRONICLE: DurableObjectNamespace<ChittyChronicleObject>;
  readonly FAULTS: DurableObjectNamespace<FaultsObject>;
  /** What every caller must send as its Bearer token. Unset, every call is refused. */
  readonly CHITTYOS_TOKEN?: string;
}
