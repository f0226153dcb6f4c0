import type { Route } from './routing.ts';
import { SqliteObject } from './storage.ts';

/** ChittyDna. */
export class ChittyDnaObject extends SqliteObject {
  protected override readonly tables = '';
}

/** ChittyDna has no routes yet. */
export const dnaRoutes: readonly Route[] = [];
