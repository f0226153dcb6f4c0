import type { Route } from './routing.ts';
import { SqliteObject } from './storage.ts';

/** ChittyChronicle. */
export class ChittyChronicleObject extends SqliteObject {
  protected override readonly tables = '';
}

/** ChittyChronicle has no routes yet. */
export const chronicleRoutes: readonly Route[] = [];
