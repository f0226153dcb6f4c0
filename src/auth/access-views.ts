import { type AccessView, accessViewOf } from '../../actors/actor-access.ts';
import { Directory } from '../../actors/directory.ts';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { inBackground } from '../background.ts';
import type { Env } from '../env.ts';
import { ensureFirstAdministrator } from './first-administrator.ts';

/**
 * What this isolate knows of actors and their credentials. An actor's object is the one place that knows for certain;
 * asking it at every request would make each of them two. So what it said is gone by for a short time: a revocation or
 * a suspension holds everywhere MAX_AGE_MS after it was made, at the latest.
 */

/** How old a view may be until it is asked for again, while it is still gone by. In milliseconds, as what follows. */
const FRESH_MS = 2_000;

/** How old a view may be to be gone by at all: 5 s are promised, one of them is for a request under way. */
export const MAX_AGE_MS = 4_000;

/** After how long a look that has not come back is taken for lost, and another is made. */
const LOST_MS = 1_000;

/** Actors that are known at the same time before all are forgotten: a few kilobytes each. */
const ACTORS_MAX = 5_000;

interface Known {
  readonly view: AccessView;
  /** When it was asked for: what the object did later is not in it. In milliseconds since 1970. */
  readonly askedAt: number;
  /** The number of the look that brought it. */
  readonly look: number;
  /** When it was last asked for again, in the background. */
  refreshAt: number;
}

/** How often the use of one credential is told to its actor's object. */
const USE_GRAIN_MS = 60_000;

const known = new Map<string, Known>();

/** Looks that were begun so far. */
let looks = 0;

/** When the use of a credential was last told, in milliseconds since 1970. */
const usedAt = new Map<string, number>();

/** The access view of an actor: at once when it is known, and at most MAX_AGE_MS old. */
export function accessView(env: Env, actor: string): AccessView | Promise<AccessView> {
  const entry = known.get(actor);
  const now = Date.now();
  const age = entry ? now - entry.askedAt : Number.POSITIVE_INFINITY;
  // A clock that went back says nothing about the age.
  if (!entry || age >= MAX_AGE_MS || age < 0) return freshAccessView(env, actor);
  if (age >= FRESH_MS && now - entry.refreshAt > LOST_MS) {
    entry.refreshAt = now;
    // What is known goes on to hold until it is too old; then the look that fails is somebody's own.
    inBackground(freshAccessView(env, actor).catch(() => undefined));
  }
  return entry.view;
}

/** The access view of an actor as it is now: for when what is known does not have what a request shows. */
export async function freshAccessView(env: Env, actor: string): Promise<AccessView> {
  const askedAt = Date.now();
  looks += 1;
  const look = looks;
  if (actor === BOOTSTRAP_ACTOR) await ensureFirstAdministrator(env);
  const view = await lookUp(env, actor);
  const entry = known.get(actor);
  // Of two looks at the same time, the one that began first may end last.
  if (entry && entry.look > look) return entry.view;
  if (known.size >= ACTORS_MAX) known.clear();
  known.set(actor, { view, askedAt, look, refreshAt: askedAt });
  return view;
}

/**
 * Asks an actor's object; one that nobody has seen yet only when it was registered, because asking would create it, and
 * anybody can make up keys that look like those of actors.
 */
async function lookUp(env: Env, actor: string): Promise<AccessView> {
  const isSeen = (known.get(actor)?.view.status ?? null) !== null;
  if (!isSeen && !(await new Directory(env.DIRECTORY).has(`actor/${actor}`))) return accessViewOf(actor, null);
  return env.ACTORS.get(env.ACTORS.idFromName(actor)).accessView(actor);
}

/** Tells an actor's object, in the background, that a credential was used; so often that it is known to a minute or two. */
export function noteUse(env: Env, actor: string, credential: string): void {
  const now = Date.now();
  if (now - (usedAt.get(credential) ?? 0) < USE_GRAIN_MS) return;
  if (usedAt.size >= ACTORS_MAX) usedAt.clear();
  usedAt.set(credential, now);
  const object = env.ACTORS.get(env.ACTORS.idFromName(actor));
  inBackground(object.noteUse(credential).catch(() => undefined));
}

/** Forgets an actor that was just changed here: the next request of this isolate sees the change. */
export function forgetAccessView(actor: string): void {
  known.delete(actor);
}
