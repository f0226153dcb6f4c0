import { z } from 'zod';
import { SCOPES } from '../../../actors/principal.ts';
import { isActorId } from '../../../events/actor.ts';
import { CONTEXT_PREFIX } from '../../../events/context.ts';
import {
  DELEGATED_CONTEXTS_MAX,
  DELEGATION_LIFE_MAX_MS,
  DELEGATION_USES_MAX,
  delegatorOf,
} from '../../../events/delegation.ts';
import { isId } from '../../../events/id.ts';

/** What is said of an actor to whom nothing can be handed, whether there is none or the id cannot be one. */
export const NO_SUCH_ACTOR = 'must be the id of an actor';

/** A list in which nothing stands twice. */
const each = <Item extends z.ZodType<string>>(item: Item, max: number) =>
  z
    .array(item)
    .min(1, 'must name at least one')
    .max(max, `must have at most ${max} items`)
    .refine((items) => new Set(items).size === items.length, 'must name each once');

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text).toISOString());

/** The body of POST /v1/delegate. */
export const delegateBody = z
  .strictObject({
    to: z
      .string()
      .refine(isActorId, NO_SUCH_ACTOR)
      .meta({ description: 'Who may act with it', examples: ['act_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    scopes: each(z.enum(SCOPES), SCOPES.length).meta({
      description:
        'What it is good for: some of what your own credential is good for, never `admin`. With `delegate` it may be ' +
        'handed on',
    }),
    contexts: each(
      z.string().refine((text) => isId(CONTEXT_PREFIX, text), 'must be the id of a context'),
      DELEGATED_CONTEXTS_MAX,
    )
      .meta({
        description: 'The only contexts that it is good for; left out, all that your own credential is good for',
      })
      .exactOptional(),
    notBefore: time.meta({ description: 'When it begins; at once when left out or past' }).exactOptional(),
    expiresAt: time.meta({ description: 'When it ends, within 24 hours; or say `ttlSeconds`' }).exactOptional(),
    ttlSeconds: z
      .int()
      .min(1)
      .max(DELEGATION_LIFE_MAX_MS / 1000)
      .meta({ description: 'How long it lasts from its beginning; an hour when neither is said', examples: [600] })
      .exactOptional(),
    maxUses: z
      .int()
      .min(1)
      .max(DELEGATION_USES_MAX)
      .meta({
        description: 'How many requests can be made with it, with all that is made from it; not counted when left out',
      })
      .exactOptional(),
  })
  .refine(({ expiresAt, ttlSeconds }) => expiresAt === undefined || ttlSeconds === undefined, {
    path: ['ttlSeconds'],
    message: 'must be left out when expiresAt is there',
  })
  .meta({ id: 'NewDelegation' });

const delegationIdText = z
  .string()
  .refine((text) => delegatorOf(text) !== null)
  .meta({ examples: ['dlg_01JD4Q2W3E4R5T6Y7V8X9Z0ABC_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] });

const status = z.enum(['pending', 'active', 'used-up', 'expired', 'revoked', 'interrupted']).meta({
  description:
    'interrupted: a delegation that it was made from has ended, or an actor in the chain is not active. What was made ' +
    'with a key or a session that is good no more counts as active until it expires, but opens nothing',
});

/** A delegation as it is answered. */
export const delegationBody = z
  .strictObject({
    id: delegationIdText,
    by: z.string().meta({ description: 'Who handed it on' }),
    to: z.string().meta({ description: 'Who may act with it' }),
    subject: z.string().meta({ description: 'Whose rights these are: the one at the root' }),
    chain: z
      .array(z.strictObject({ id: delegationIdText, by: z.string(), status: status.exactOptional() }))
      .meta({ description: 'The delegations that it was made from, the one of the subject first' }),
    scopes: z.array(z.enum(SCOPES)),
    contexts: z.array(z.string()).nullable(),
    notBefore: z.iso.datetime(),
    expiresAt: z.iso.datetime(),
    maxUses: z.int().nullable(),
    uses: z.int().meta({ description: 'Only counted where there is `maxUses`' }),
    madeWith: z.string().meta({ description: 'The key, session or delegation that it was made with, and ends with' }),
    grantedAt: z.iso.datetime(),
    revokedAt: z.iso.datetime().nullable(),
    status,
  })
  .meta({ id: 'Delegation' });
