import type { Route } from './routing.ts';
import { SqliteObject } from './storage.ts';

/** ChittyVerify. */
export class ChittyVerifyObject extends SqliteObject {
  protected override readonly tables = '';
}

/** ChittyVerify has no routes yet. */
export const verifyRoutes: readonly Route[] = [];
