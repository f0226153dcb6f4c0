import { authRoutes } from './chitty-auth.ts';
import { certifyRoutes } from './chitty-certify.ts';
import { chronicleRoutes } from './chitty-chronicle.ts';
import { dnaRoutes } from './chitty-dna.ts';
import { idRoutes } from './chitty-id.ts';
import { registryRoutes } from './chitty-registry.ts';
import { verifyRoutes } from './chitty-verify.ts';
import type { Route } from './routing.ts';
import type { ServiceName } from './service-names.ts';

/** The routes of each service. */
export const SERVICE_ROUTES: Readonly<Record<ServiceName, readonly Route[]>> = {
  id: idRoutes,
  auth: authRoutes,
  registry: registryRoutes,
  dna: dnaRoutes,
  verify: verifyRoutes,
  certify: certifyRoutes,
  chronicle: chronicleRoutes,
};
