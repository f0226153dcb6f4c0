import type { Role } from '../../../actors/access.ts';

/** A plain reference model of who may do what: people, their credentials, two contexts, and who handed what to whom. */

export interface Someone {
  readonly id: string;
  isSuspended: boolean;
  /** Whether they may read everything. */
  isAuditor: boolean;
}

interface Common {
  readonly secret: string;
  readonly id: string;
  /** When it ends by itself, in milliseconds since 1970; null when it does not. */
  until: number | null;
  isEnded: boolean;
}

export interface Key extends Common {
  readonly kind: 'key';
  readonly of: Someone;
  /** The key that took its place. */
  successor: Key | null;
}

export interface Session extends Common {
  readonly kind: 'session';
  readonly of: Someone;
  readonly startedWith: Key;
}

export interface Handed extends Common {
  readonly kind: 'delegation';
  readonly by: Someone;
  readonly to: Someone;
  madeWith: Held;
  readonly scopes: readonly string[];
  /** Null for all. */
  readonly contexts: readonly string[] | null;
}

export type Held = Key | Session | Handed;

/** What a model's person is to each context. */
export type Roles = Map<Someone, Role>;

const isOver = ({ until, isEnded }: Common, now: number) => isEnded || (until !== null && until <= now);

/** Whether a credential lets in. */
export function isGood(held: Held, now: number): boolean {
  if (isOver(held, now)) return false;
  switch (held.kind) {
    case 'key':
      return !held.of.isSuspended;
    case 'session':
      return isGood(held.startedWith, now);
    case 'delegation':
      return !held.by.isSuspended && !held.to.isSuspended && stands(held.madeWith, now);
    default:
      return held satisfies never;
  }
}

/** Whether what was made with a credential still stands: the token of a session is replaced, the session goes on. */
export function stands(madeWith: Held, now: number): boolean {
  if (madeWith.kind !== 'session') return isGood(madeWith, now);
  return !madeWith.isEnded && isGood(madeWith.startedWith, now);
}

/** The one whose rights a credential carries. */
export function rootOf(held: Held): Someone {
  return held.kind === 'delegation' ? rootOf(held.madeWith) : held.of;
}

/** The one who uses it. */
export function userOf(held: Held): Someone {
  return held.kind === 'delegation' ? held.to : held.of;
}

/** All delegations that a credential came by, its own last. */
export function chainOf(held: Held): readonly Handed[] {
  return held.kind === 'delegation' ? [...chainOf(held.madeWith), held] : [];
}

/** Whether somebody has the rights of a credential only because they were handed on to them. */
export function isDelegate(held: Held, someone: Someone): boolean {
  return someone !== rootOf(held) && chainOf(held).some(({ by, to }) => by === someone || to === someone);
}

/** Whether every link of its chain gives a scope. */
export function hasScope(held: Held, scope: string): boolean {
  return chainOf(held).every(({ scopes }) => scopes.includes(scope));
}

/** Whether every link of its chain reaches a context. */
export function reaches(held: Held, context: string): boolean {
  return chainOf(held).every(({ contexts }) => contexts?.includes(context) ?? true);
}

/** What the bearer of a credential that is good is to a context; null when it does not exist for them. */
export function standingOf(held: Held, context: string, roles: Roles): Role | null {
  if (!reaches(held, context)) return null;
  const role = roles.get(rootOf(held)) ?? null;
  // What somebody is, is not handed on.
  return role ?? (held.kind !== 'delegation' && held.of.isAuditor ? 'auditor' : null);
}
