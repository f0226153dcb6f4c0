import type { Route } from './routing.ts';
import { SqliteObject } from './storage.ts';

/** ChittyRegistry. */
export class ChittyRegistryObject extends SqliteObject {
  protected override readonly tables = '';
}

/** ChittyRegistry has no routes yet. */
export const registryRoutes: readonly Route[] = [];
