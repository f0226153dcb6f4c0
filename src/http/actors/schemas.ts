import { z } from 'zod';
import { CAPABILITIES, SCOPES } from '../../../actors/principal.ts';
import {
  ACTOR_KINDS,
  actorDescription,
  actorName,
  CONTEXTS_MAX,
  credentialLabel,
  suspensionReason,
} from '../../../events/actor.ts';
import { CONTEXT_PREFIX } from '../../../events/context.ts';
import { isId } from '../../../events/id.ts';

/** How far ahead a key's end can lie, in milliseconds: a year and a day. */
const KEY_LIFE_MAX_MS = 366 * 24 * 60 * 60_000;
/** How long a rotated key goes on beside its successor, in seconds: unless it is said, and at most. */
const OVERLAP_DEFAULT_S = 3_600;
const OVERLAP_MAX_S = 7 * 24 * 3_600;

const id = z.string().meta({ examples: ['act_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] });
const kind = z.enum(ACTOR_KINDS);
const time = z.iso.datetime();
const capability = z.enum(CAPABILITIES);
const scope = z.enum(SCOPES);

const name = z
  .string()
  .trim()
  .pipe(actorName)
  .meta({ description: 'What people call it; trimmed, not blank, at most 200 characters', examples: ['Ada'] });
const description = actorDescription.meta({ description: 'At most 10,000 characters' });
const label = z.string().trim().pipe(credentialLabel);

/** A list in which nothing stands twice. */
const each = <Item extends z.ZodType<string>>(item: Item, max: number) =>
  z
    .array(item)
    .min(1, 'must name at least one; leave it out for all')
    .max(max, `must have at most ${max} items`)
    .refine((items) => new Set(items).size === items.length, 'must name each once');

const scopes = each(scope, SCOPES.length).meta({
  description: 'What it is good for: at most what your own credential is. Left out: all of that but `admin`',
});

const contexts = each(
  z.string().refine((text) => isId(CONTEXT_PREFIX, text), 'must be the id of a context'),
  CONTEXTS_MAX,
).meta({ description: 'The only contexts that it is good for; left out, all that your own credential is good for' });

const expiresAt = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text).toISOString())
  .refine((text) => Date.parse(text) > Date.now(), 'must be in the future')
  .refine((text) => Date.parse(text) <= Date.now() + KEY_LIFE_MAX_MS, 'must be within a year');

/** The body of POST /v1/actors. */
export const registerActorBody = z
  .strictObject({
    kind,
    name,
    description: description.default(''),
    capabilities: z
      .array(capability)
      .max(CAPABILITIES.length)
      .default([])
      .meta({ description: 'What it may do beside what it owns and what is shared with it' }),
  })
  .meta({ id: 'NewActor' });

/** The body of PATCH /v1/actors/{id}: a JSON Merge Patch (RFC 7396). */
export const patchActorBody = z
  .strictObject({
    name: name.exactOptional(),
    description: description
      .nullable()
      .transform((text) => text ?? '')
      .exactOptional(),
  })
  .meta({ id: 'ActorPatch', description: 'A JSON Merge Patch (RFC 7396): only the members to change' });

/** The body of POST /v1/actors/{id}/suspend. */
export const suspendActorBody = z
  .strictObject({ reason: suspensionReason.default('').meta({ description: 'For the record' }) })
  .meta({ id: 'Suspension' });

/** The body of POST /v1/actors/{id}/keys. */
export const issueKeyBody = z
  .strictObject({
    name: label.meta({ description: 'What it is for; at most 100 characters', examples: ['laptop'] }),
    scopes: scopes.exactOptional(),
    contexts: contexts.exactOptional(),
    expiresAt: expiresAt
      .exactOptional()
      .meta({ description: 'When it ends, within a year; left out, when your own credential does, if ever' }),
  })
  .meta({ id: 'NewKey' });

/** The body of POST /v1/actors/{id}/keys/{key}/rotate. */
export const rotateKeyBody = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(OVERLAP_MAX_S)
      .default(OVERLAP_DEFAULT_S)
      .meta({ description: 'For how long the old key is good beside the new one; 0 ends it at once' }),
  })
  .meta({ id: 'KeyRotation' });

/** The body of POST /v1/sessions. */
export const startSessionBody = z
  .strictObject({
    cookies: z.boolean().default(false).meta({ description: 'Give the tokens as cookies, for browsers' }),
    scopes: scopes.exactOptional(),
    device: label.exactOptional().meta({ description: 'What it runs on; at most 100 characters' }),
  })
  .meta({ id: 'NewSession' });

/** The body of POST /v1/sessions/refresh. */
export const refreshSessionBody = z
  .strictObject({
    refreshToken: z.string().exactOptional().meta({ description: 'Left out when it comes as a cookie' }),
  })
  .meta({ id: 'SessionRefresh' });

const summaryShape = {
  id,
  chittyId: z.string().nullable().meta({ description: 'Null until the ChittyID authority has given it one' }),
  kind,
  name: z.string(),
  status: z.enum(['active', 'suspended', 'deleted']),
};

const stepState = z.looseObject({ status: z.enum(['done', 'failed']), at: time });

const recordShape = {
  ...summaryShape,
  description: z.string(),
  capabilities: z.array(capability),
  version: z.int().min(1).meta({ description: 'The number of its events; the ETag is this in quotes' }),
  createdAt: time,
  updatedAt: time,
  provisioning: z.strictObject({
    status: z.enum(['pending', 'failing', 'complete']),
    steps: z.strictObject({ identify: stepState.optional(), initializeDna: stepState.optional() }),
  }),
};

/** An actor as they themselves and administrators see it. */
export const actorBody = z.strictObject(recordShape).meta({ id: 'Actor' });

/** An actor as others see it. */
export const actorSummaryBody = z.strictObject(summaryShape).meta({
  id: 'ActorSummary',
  description: 'What everybody may know of an actor',
});

const rights = {
  scopes: z.array(scope),
  contexts: z.array(z.string()).nullable().meta({ description: 'Null for all that the actor may see' }),
};

const lastUsedAt = time.nullable().meta({ description: 'To a minute or two' });

/** A key as its actor sees it. */
export const keyBody = z
  .strictObject({
    id: z.string().meta({ examples: ['key_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    name: z.string(),
    ...rights,
    createdAt: time,
    expiresAt: time.nullable(),
    successor: z.string().nullable().meta({ description: 'The key that takes its place, once it was rotated' }),
    lastUsedAt,
  })
  .meta({ id: 'Key' });

/** A key as it is shown once. */
export const issuedKeyBody = keyBody
  .extend({ key: z.string().meta({ description: 'The key itself. It is shown this once and not kept' }) })
  .meta({ id: 'IssuedKey' });

/** What is said of a key that was revoked when others have taken its place. */
export const revokedKeyBody = z
  .strictObject({
    successors: z
      .array(z.string())
      .meta({ description: 'The keys that have taken its place and are good, oldest first' }),
  })
  .meta({ id: 'RevokedKey' });

/** A session as its actor sees it. */
export const sessionBody = z
  .strictObject({
    id: z.string().meta({ examples: ['ses_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    startedWith: z.string().meta({ description: 'The key that it was started with, and ends with' }),
    ...rights,
    device: z.string().nullable(),
    usesCookies: z.boolean(),
    startedAt: time,
    refreshedAt: time,
    refreshUntil: time.meta({ description: 'When it ends unless it is refreshed before' }),
    expiresAt: time.meta({ description: 'When it ends at the latest' }),
    lastUsedAt,
  })
  .meta({ id: 'Session' });

/** What starting or refreshing a session gives. */
export const sessionTokensBody = z
  .strictObject({
    id: z.string(),
    tokenType: z.literal('Bearer'),
    expiresIn: z.int().meta({ description: 'Seconds until the access token ends; refresh the session before' }),
    expiresAt: time.meta({ description: 'When the session ends at the latest' }),
    accessToken: z.string().optional().meta({ description: 'Send it as "Authorization: Bearer <token>"' }),
    refreshToken: z.string().optional().meta({ description: 'Good once; using it twice ends the session' }),
    csrfToken: z
      .string()
      .optional()
      .meta({ description: 'With cookies: send it as X-CSRF-Token with every request that changes something' }),
  })
  .meta({ id: 'SessionTokens' });
