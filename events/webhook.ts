import { z } from 'zod';
import { textUpTo } from './text.ts';
import type { Upcasters } from './upcast.ts';

/** The prefix of a webhook's id. */
export const WEBHOOK_PREFIX = 'whk';

/** The prefix of the id of one of its secrets, which tells nothing about the secret. */
export const SECRET_PREFIX = 'whs';

/** Characters of a webhook's address and of what is said about it. */
const URL_MAX = 2_000;
const DESCRIPTION_MAX = 500;
const DETAIL_MAX = 200;

/** How many of each a webhook can be narrowed to. */
const FILTER_MAX = 100;

const actorId = z.string().min(1).max(200);
const secretId = z.string().min(1).max(100);
const time = z.iso.datetime();

/** Where events are sent. That it may be one is looked at where it is set and where it is used. */
export const webhookUrl = z.string().max(URL_MAX, `must have at most ${URL_MAX} characters`);

/** What a webhook is for, in words. */
export const webhookDescription = textUpTo(DESCRIPTION_MAX);

const eachOf = (item: z.ZodString) =>
  z
    .array(item)
    .min(1, 'must not be empty; null stands for all')
    .max(FILTER_MAX, `must have at most ${FILTER_MAX} items`)
    .nullable();

/** Which events a webhook gets; null for all. */
export const webhookFilters = {
  types: eachOf(z.string().regex(/^[a-z][a-z_]{0,63}$/, 'must be a type of event')),
  /** Also all that it may read: a webhook is good for no more contexts than the credential that made it. */
  contexts: eachOf(z.string().min(1).max(100)),
  actors: eachOf(z.string().regex(/^act_\w{1,40}$/, 'must be the id of an actor')),
};

const terms = { url: webhookUrl, description: webhookDescription, ...webhookFilters };

/**
 * Why nothing is sent any more: its owner said so; the receiver answered 410; it failed for too long; the credential that
 * made it would have ended; there is no owner.
 */
const disabledReason = z.enum(['requested', 'gone', 'failing', 'expired', 'owner_deleted']);

/** The payload schemas of a webhook's events. Of its secrets there are the ids alone. */
export const webhookEvents = {
  webhook_created: z.strictObject({ owner: actorId, ...terms, secret: secretId, expiresAt: time.nullable() }),
  webhook_changed: z.strictObject({
    url: terms.url.exactOptional(),
    description: terms.description.exactOptional(),
    types: terms.types.exactOptional(),
    contexts: terms.contexts.exactOptional(),
    actors: terms.actors.exactOptional(),
    expiresAt: time.exactOptional(),
  }),
  /** Those before it sign beside it until `othersEndAt`. */
  webhook_secret_rotated: z.strictObject({ secret: secretId, othersEndAt: time, expiresAt: time.exactOptional() }),
  webhook_disabled: z.strictObject({ reason: disabledReason, detail: z.string().max(DETAIL_MAX).nullable() }),
  /** `from` says whether it goes on from where it stood, or leaves out what came meanwhile. */
  webhook_enabled: z.strictObject({ from: z.enum(['where_it_stood', 'now']), expiresAt: time.nullable() }),
  /** What is after one position of the feed and up to another, and of this time. */
  webhook_replay_requested: z.strictObject({
    after: z.int().min(0),
    upTo: z.int().min(0),
    from: time.nullable(),
    to: time.nullable(),
  }),
  webhook_deleted: z.strictObject({}),
};

/** What can happen to a webhook. */
export type WebhookEvent = {
  [Type in keyof typeof webhookEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof webhookEvents)[Type]>>;
  };
}[keyof typeof webhookEvents];

/** No event of a webhook has an older form yet. */
export const webhookUpcasters: Upcasters = {};
