import type { Route } from './routing.ts';
import { SqliteObject } from './storage.ts';

/** ChittyCertify. */
export class ChittyCertifyObject extends SqliteObject {
  protected override readonly tables = '';
}

/** ChittyCertify has no routes yet. */
export const certifyRoutes: readonly Route[] = [];
