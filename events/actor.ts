import { z } from 'zod';
import { contextDescription, contextName } from './context.ts';
import { delegationEvents } from './delegation.ts';
import { personal, subjectErased } from './personal.ts';
import { notBlank, textUpTo } from './text.ts';
import type { Upcasters } from './upcast.ts';

export { ACTOR_PREFIX, isActorId } from './actor-id.ts';

/** The prefixes of the ids of actors' API keys and of their sessions. */
export const KEY_PREFIX = 'key';
export const SESSION_PREFIX = 'ses';

/** Characters of a key's name, and of what a session says about its device, after trimming. */
const LABEL_MAX = 100;
/** Contexts that one credential is limited to at most. */
export const CONTEXTS_MAX = 100;
/** Characters of the reason for a suspension. */
const REASON_MAX = 1_000;

/** What an actor can be. */
export const ACTOR_KINDS = ['person', 'service', 'agent'] as const;

/** One of the kinds. */
export type ActorKind = (typeof ACTOR_KINDS)[number];

/** An actor's name: not blank, at most 200 characters. */
export const actorName = contextName;

/** What an actor says of themselves: at most 10,000 characters, may be empty. */
export const actorDescription = contextDescription;

/** What a key is called, or a session's device: not blank, at most 100 characters. */
export const credentialLabel = textUpTo(LABEL_MAX).refine(notBlank, 'must not be blank');

/** Why an actor is suspended. */
export const suspensionReason = textUpTo(REASON_MAX);

/** An id that another service gave out. */
const foreignId = z.string().min(1).max(500);
const time = z.iso.datetime({ precision: 3 });
/** SHA-256 of a secret: 64 hexadecimal digits. The secret has 256 random bits, so that its hash gives nothing away. */
const hash = z.string().regex(/^[0-9a-f]{64}$/);
/** Names, not the enumeration: a scope that is given up later must not make an old event unreadable. */
const names = z.array(z.string().min(1).max(50)).max(50);
const contexts = z.array(z.string()).max(CONTEXTS_MAX).nullable();

/** Why a session ended. */
const SESSION_ENDS = ['ended', 'key_ended', 'refresh_token_reused', 'too_many_sessions'] as const;

/** The payload schemas of an actor's events, in their current versions. */
export const actorEvents = {
  actor_registered: z.strictObject({
    kind: z.enum(ACTOR_KINDS),
    name: personal(actorName, 'self'),
    description: personal(actorDescription, 'self'),
    capabilities: names,
  }),
  /** Only what changed. */
  actor_updated: z.strictObject({
    name: personal(actorName, 'self').exactOptional(),
    description: personal(actorDescription, 'self').exactOptional(),
  }),
  capability_granted: z.strictObject({ capability: z.string().min(1).max(50) }),
  capability_revoked: z.strictObject({ capability: z.string().min(1).max(50) }),
  actor_suspended: z.strictObject({ reason: personal(suspensionReason, 'self') }),
  actor_reinstated: z.strictObject({}),
  /** For good: a person who comes back is another actor. */
  actor_deleted: z.strictObject({}),
  /** All that the actor ever wrote is erased, here and wherever it is kept. */
  subject_erased: subjectErased,
  /** The ChittyID authority gave it an id. */
  actor_identified: z.strictObject({ chittyId: foreignId, did: foreignId }),
  /** ChittyDNA keeps a record of it. */
  dna_initialized: z.strictObject({ dnaId: foreignId }),
  /** A step failed, for the `attempt`th time in a row; it is tried again at `retryAt`. */
  provisioning_step_failed: z.strictObject({
    step: z.enum(['identify', 'initializeDna']),
    reason: z.string().max(500),
    attempt: z.int().min(1),
    retryAt: z.iso.datetime(),
  }),
  key_issued: z.strictObject({
    key: z.string(),
    name: personal(credentialLabel, 'self'),
    hash,
    scopes: names,
    contexts,
    expiresAt: time.nullable(),
  }),
  /** `successor` has the name and the rights of `key`, which is good until `endsAt`. */
  key_rotated: z.strictObject({ key: z.string(), successor: z.string(), hash, endsAt: time }),
  key_revoked: z.strictObject({ key: z.string() }),
  session_started: z.strictObject({
    session: z.string(),
    /** The key that it was started with, and ends with; of the bootstrap key, which one it was. */
    startedWith: z.string(),
    scopes: names,
    contexts,
    device: personal(credentialLabel, 'self').nullable(),
    /** What all refresh tokens of the session have in common. */
    familyHash: hash,
    /** The one that is good. */
    refreshHash: hash,
    /** For browsers: what their requests have to show beside the cookie. */
    csrfHash: hash.nullable(),
    refreshUntil: time,
    expiresAt: time,
  }),
  session_refreshed: z.strictObject({
    session: z.string(),
    refreshHash: hash,
    refreshUntil: time,
  }),
  session_ended: z.strictObject({ session: z.string(), reason: z.enum(SESSION_ENDS) }),
  ...delegationEvents,
};

/** What can happen to an actor. */
export type ActorEvent = {
  [Type in keyof typeof actorEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof actorEvents)[Type]>>;
  };
}[keyof typeof actorEvents];

/** No event of an actor has an older form yet. */
export const actorUpcasters: Upcasters = {};
