import { z } from 'zod';
import { BOOTSTRAP_ACTOR } from './bootstrap-actor.ts';
import { derivedId, isId, newId } from './id.ts';

/** The prefix of a delegation's id. */
const DELEGATION_PREFIX = 'dlg';

/** The prefix of an actor's id, and the characters of a ULID. */
const ACTOR_PREFIX = 'act';
const ULID_CHARS = 26;

/** Contexts that one delegation is limited to at most: the token names them all. */
export const DELEGATED_CONTEXTS_MAX = 50;

/** How long a delegation lasts at most, in milliseconds. */
export const DELEGATION_LIFE_MAX_MS = 24 * 60 * 60_000;

/** How often a delegation whose uses are counted can be used at most: each use is an event. */
export const DELEGATION_USES_MAX = 10_000;

const time = z.iso.datetime({ precision: 3 });
const id = z.string().regex(/^dlg_[0-9A-Z]{26}_[0-9A-Z]{26}$/);

/** Why a delegation ended before its time. */
const DELEGATION_ENDS = ['revoked', 'key_ended', 'session_ended'] as const;

/** The payload schemas of what happens to the rights that an actor hands on. They are events of that actor. */
export const delegationEvents = {
  delegation_granted: z.strictObject({
    delegation: id,
    /** Who may use it. */
    to: z.string().min(1),
    /** Whose rights these are: the actor's own, or those of the first in the chain. */
    subject: z.string().min(1),
    /** By what the actor had these rights: the delegations from the subject's to the one that was handed on. */
    chain: z.array(z.strictObject({ id, by: z.string().min(1) })).max(10),
    /** The id of the credential that it was made with, and ends with. */
    madeWith: z.string().min(1),
    /** Names, so that a scope that is given up later does not make an old event unreadable. */
    scopes: z.array(z.string().min(1).max(50)).max(50),
    contexts: z.array(z.string()).max(DELEGATED_CONTEXTS_MAX).nullable(),
    notBefore: time,
    expiresAt: time,
    /** How often it can be used; null when nobody counts. */
    maxUses: z.int().min(1).nullable(),
  }),
  /** Only where uses are counted; before what it is used for is done. */
  delegation_used: z.strictObject({ delegation: id }),
  delegation_revoked: z.strictObject({ delegation: id, reason: z.enum(DELEGATION_ENDS) }),
};

/**
 * The id of a delegation by an actor: a random part and the actor's own, so that whoever has the id can find the one
 * place that knows it.
 *
 * @param seed what leads to the same id always; a new one when left out
 */
export function delegationId(by: string, now: number, seed?: string): string {
  const own = seed === undefined ? newId(DELEGATION_PREFIX, now) : derivedId(DELEGATION_PREFIX, seed);
  return `${own}_${by.slice(-ULID_CHARS)}`;
}

/** Who made a delegation, by its id; null when it is no such id. No object is asked for an id that cannot be one. */
export function delegatorOf(text: string): string | null {
  const own = text.slice(0, -ULID_CHARS - 1);
  const actor = `${ACTOR_PREFIX}_${text.slice(-ULID_CHARS)}`;
  const isOne = text.charAt(own.length) === '_' && isId(DELEGATION_PREFIX, own);
  return isOne && (actor === BOOTSTRAP_ACTOR || isId(ACTOR_PREFIX, actor)) ? actor : null;
}
