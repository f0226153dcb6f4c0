import { z } from 'zod';
import { isActorId } from './actor-id.ts';
import { personal, subjectErased, subjectId } from './personal.ts';
import { notBlank, textUpTo } from './text.ts';

/** Rules that one context has at most. */
const RULES_MAX = 50;
/** Characters of a pointer. */
const POINTER_MAX = 500;
/** Characters of the reason for a legal hold. */
const REASON_MAX = 1_000;
/** Days that words can be kept for at most: a hundred years. */
const DAYS_MAX = 36_500;

/** A value in the metadata: an RFC 6901 pointer into the context. */
const pointer = z
  .string()
  .max(POINTER_MAX, `must have at most ${POINTER_MAX} characters`)
  .regex(/^\/metadata(\/([^~/]|~[01])+)+$/, 'must be a JSON Pointer to a value in the metadata: /metadata/…');

const subject = subjectId.refine(
  (id) => !id.startsWith('act_') || isActorId(id),
  'must be the id of an actor when it begins with act_',
);

/** What of the metadata is whose words: at most 50 values, none inside of another. */
export const privacyRules = z
  .array(z.strictObject({ pointer, subject }))
  .max(RULES_MAX, `must have at most ${RULES_MAX} items`)
  .superRefine((rules, context) => {
    for (const [index, rule] of rules.entries()) {
      const other = rules.slice(0, index).find((each) => isWithin(each.pointer, rule.pointer));
      if (!other) continue;
      context.addIssue({
        code: 'custom',
        path: [index, 'pointer'],
        message: `is inside of ${other.pointer}, or the other way round; name one of the two`,
      });
    }
  });

function isWithin(one: string, other: string): boolean {
  return `${one}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${one}/`);
}

/** Why nothing of a context may be erased: not blank, at most 1,000 characters. */
export const holdReason = textUpTo(REASON_MAX).refine(notBlank, 'must not be blank');

/** How long words are kept: days after the last change of the context, or after its deletion. */
export const retention = z.strictObject({
  days: z.int().min(1).max(DAYS_MAX),
  after: z.enum(['change', 'deletion']),
});

/** The payload schemas of the events that tell how people's words in a context are kept, and when they are not any more. */
export const privacyEvents = {
  /** In the place of the rules before. They are about what is written from then on. */
  privacy_rules_set: z.strictObject({ rules: privacyRules }),
  /** Until it is lifted nothing is erased here. */
  legal_hold_placed: z.strictObject({ reason: personal(holdReason, 'author') }),
  legal_hold_lifted: z.strictObject({}),
  retention_set: retention,
  retention_ended: z.strictObject({}),
  subject_erased: subjectErased,
};
