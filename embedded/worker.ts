import { handleRequest } from './edge.ts';
import type { EmbeddedEnv } from './env.ts';

export { ChittyAuthObject } from './chitty-auth.ts';
export { ChittyCertifyObject } from './chitty-certify.ts';
export { ChittyChronicleObject } from './chitty-chronicle.ts';
export { ChittyDnaObject } from './chitty-dna.ts';
export { ChittyIdObject } from './chitty-id.ts';
export { ChittyRegistryObject } from './chitty-registry.ts';
export { ChittyVerifyObject } from './chitty-verify.ts';
export { FaultsObject } from './faults.ts';

export default {
  fetch: handleRequest,
} satisfies ExportedHandler<EmbeddedEnv>;
