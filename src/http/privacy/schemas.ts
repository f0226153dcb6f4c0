import { z } from 'zod';
import { holdReason, privacyRules, retention } from '../../../events/context-privacy.ts';
import { ERASURE_REASONS, subjectId } from '../../../events/personal.ts';

const time = z.iso.datetime({ precision: 3 });

const subject = subjectId.min(1, 'must not be empty').meta({
  description: 'An actor’s id, or an id that the context itself has for a person: letters, digits, "_", "-" and "."',
  examples: ['customer-42'],
});

const rules = privacyRules.meta({
  description: 'Values in the metadata and whose words they are; at most 50, none inside of another',
  examples: [[{ pointer: '/metadata/customer', subject: 'customer-42' }]],
});

/** The body of PUT …/privacy. */
export const privacyRulesBody = z.strictObject({ rules }).meta({ id: 'PrivacyRules' });

/** The body of PUT …/legal-hold. */
export const holdBody = z
  .strictObject({
    reason: z
      .string()
      .trim()
      .pipe(holdReason)
      .meta({ description: 'Trimmed, not blank, at most 1,000 characters; only administrators see it' }),
  })
  .meta({ id: 'LegalHold' });

/** The body of PUT …/retention. */
export const retentionBody = retention.meta({
  id: 'Retention',
  description: 'How long words are kept: days after the last change of the context, or after its deletion',
});

/** The body of POST …/erasures. */
export const erasureBody = z.strictObject({ subject }).meta({ id: 'NewErasure' });

/** Somebody whose words in a context are erased. */
export const erasedBody = z
  .strictObject({ subject: z.string(), at: time, reason: z.enum(ERASURE_REASONS) })
  .meta({ id: 'Erasure' });

/** How people's words in a context are kept, as the answer to a change shows it. */
export const privacyChangedBody = z
  .strictObject({
    rules,
    legalHold: z
      .strictObject({
        since: time,
        reason: z.string().optional().meta({ description: 'For administrators' }),
        placedBy: z.record(z.string(), z.string()).optional().meta({ description: 'For administrators' }),
      })
      .nullable(),
    retention: retentionBody.nullable(),
    erased: z.array(erasedBody).meta({ description: 'The newest 100, oldest first' }),
  })
  .meta({ id: 'PrivacyChanged' });

/** How people's words in a context are kept. */
export const privacyBody = privacyChangedBody
  .extend({
    subjects: z
      .array(z.string())
      .optional()
      .meta({ description: 'Whose words are here; told of the present, so left out with `at`' }),
  })
  .meta({ id: 'Privacy' });

/** How far the erasure of an actor everywhere is. */
export const actorErasureBody = z
  .strictObject({
    subject: z.string(),
    erasedAt: time,
    streams: z
      .strictObject({ holds: z.int(), erased: z.int(), held: z.int() })
      .meta({ description: 'The streams besides the actor’s own: yet to be told, done, and kept by a legal hold' }),
  })
  .meta({ id: 'ActorErasure' });
