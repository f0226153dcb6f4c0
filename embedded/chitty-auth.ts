import type { Route } from './routing.ts';
import { SqliteObject } from './storage.ts';

/** ChittyAuth. */
export class ChittyAuthObject extends SqliteObject {
  protected override readonly tables = '';
}

/** ChittyAuth has no routes yet. */
export const authRoutes: readonly Route[] = [];
