import { z } from 'zod';
import { OUTCOMES } from '../../../actors/webhook-outcome.ts';
import { webhookDescription, webhookFilters, webhookUrl } from '../../../events/webhook.ts';

/** Seconds that a replaced secret signs beside the new one, unless its owner says otherwise, and at most. */
const OVERLAP_S = { default: 86_400, max: 7 * 86_400 };

const url = webhookUrl.meta({
  description: 'An https address in a public network. Redirects are not followed',
  examples: ['https://hooks.example.com/chitty'],
});
const description = webhookDescription.meta({ description: 'What it is for' });
const types = webhookFilters.types.meta({
  description: 'Only events of these types; null for all',
  examples: [['context_updated']],
});
const contexts = webhookFilters.contexts.meta({
  description: 'Only those of these contexts, by their ids or ChittyIDs; null for all that the owner may read',
});
const actors = webhookFilters.actors.meta({ description: 'Only what these actors did; null for what anybody did' });

/** The body of POST /v1/webhooks. */
export const createWebhookBody = z
  .strictObject({
    url,
    description: description.default(''),
    types: types.default(null),
    contexts: contexts.default(null),
    actors: actors.default(null),
  })
  .meta({ id: 'NewWebhook' });

/** The body of PATCH /v1/webhooks/{id}. */
export const patchWebhookBody = z
  .strictObject({
    url: url.exactOptional(),
    description: description.exactOptional(),
    types: types.exactOptional(),
    contexts: contexts.exactOptional(),
    actors: actors.exactOptional(),
  })
  .meta({ id: 'WebhookPatch' });

/** The body of POST …/secrets. */
export const rotateSecretBody = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(OVERLAP_S.max)
      .default(OVERLAP_S.default)
      .meta({ description: 'Seconds that the secrets before it go on to sign beside it' }),
  })
  .meta({ id: 'SecretRotation' });

/** The body of POST …/enable. */
export const enableBody = z
  .strictObject({
    from: z
      .enum(['where_it_stood', 'now'])
      .default('where_it_stood')
      .meta({ description: 'Whether what came meanwhile is sent, or left out' }),
  })
  .meta({ id: 'WebhookEnabling' });

const edge = (what: string) =>
  z
    .string()
    .max(50)
    .meta({ description: what, examples: ['2026-01-31T12:00:00Z', '0000000000000042'] });

/** The body of POST …/replay. */
export const replayBody = z
  .strictObject({
    from: edge('A time with its zone; or an offset of the feed (Stream-Next-Offset), after which it begins'),
    to: edge('The same, for the end; now when it is left out').exactOptional(),
  })
  .meta({ id: 'WebhookReplay' });

const attempt = z
  .strictObject({
    message: z.string().meta({ description: 'The webhook-id that the receiver got' }),
    cause: z.enum(['event', 'replay', 'test']),
    type: z.string(),
    stream: z.string().nullable(),
    version: z.int().nullable(),
    attempt: z.int().min(1),
    time: z.iso.datetime(),
    outcome: z.enum(OUTCOMES),
    status: z.int().nullable().meta({ description: 'The HTTP status, null when none came' }),
    durationMs: z.int(),
    error: z.string().nullable(),
    response: z
      .string()
      .nullable()
      .meta({ description: 'What the receiver’s answer begins with, when it is no success' }),
  })
  .meta({ id: 'WebhookAttempt' });

/** What GET …/deliveries answers. */
export const deliveriesBody = z.strictObject({ items: z.array(attempt) });

/** What POST …/test answers. */
export const testBody = z.strictObject({ attempt });

const secret = z.strictObject({
  id: z.string(),
  createdAt: z.iso.datetime(),
  endsAt: z.iso.datetime().nullable().meta({ description: 'Until when it signs, once another has taken its place' }),
});

const shape = {
  id: z.string().meta({ examples: ['whk_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
  owner: z.string().meta({ description: 'The actor whose rights it reads with' }),
  url: z.string(),
  description: z.string(),
  types: z.array(z.string()).nullable(),
  contexts: z.array(z.string()).nullable(),
  actors: z.array(z.string()).nullable(),
  status: z.enum(['active', 'disabled']),
  disabled: z
    .strictObject({
      reason: z.enum(['requested', 'gone', 'failing', 'expired', 'owner_deleted']),
      detail: z.string().nullable(),
      at: z.iso.datetime(),
    })
    .nullable()
    .meta({ description: 'Why and since when nothing is sent' }),
  secrets: z.array(secret).meta({ description: 'What signs, oldest first; the secrets themselves are in no answer' }),
  expiresAt: z.iso.datetime().nullable().meta({
    description:
      'When the credential ends that made it, or gave it its address, contexts or secret; it is disabled then',
  }),
  version: z.int().min(1),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
};

/** A webhook in a list, and after a change. */
export const webhookSummary = z.strictObject(shape).meta({ id: 'WebhookSummary' });

/** A webhook by itself. */
export const webhookBody = z
  .strictObject({
    ...shape,
    delivery: z.strictObject({
      failing: z.int().meta({ description: 'Contexts whose next event was sent in vain and is sent again' }),
      replays: z.int().meta({ description: 'Replays that are not done' }),
      unreadable: z
        .array(z.strictObject({ context: z.string(), version: z.int(), reason: z.string() }))
        .meta({ description: 'Events that cannot be read now; they and what is behind them in their context wait' }),
      nextAttemptAt: z.iso.datetime().nullable(),
      lastDeliveredAt: z.iso.datetime().nullable(),
    }),
  })
  .meta({ id: 'Webhook' });

/** A webhook with its new secret, which is shown this once. */
export const webhookWithSecret = z
  .strictObject({ ...shape, secret: z.string().meta({ examples: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'] }) })
  .meta({ id: 'WebhookWithSecret' });
