import { z } from 'zod';
import type { JsonObject } from './json.ts';
import { personal } from './personal.ts';
import { notBlank, textUpTo } from './text.ts';

/** The prefixes of the ids of notes and of proposals. */
export const NOTE_PREFIX = 'note';
export const PROPOSAL_PREFIX = 'pro';

/** Characters (Unicode code points) of a note, of a comment, and of what a proposal says of itself. */
const TEXT_MAX = 2_000;
/** Characters of the reason for a rejection. */
const REASON_MAX = 500;
/** Approvals that the rule of a context can ask for at most. */
export const APPROVALS_MAX = 10;

/** A note, a comment or the message of a proposal: not blank, at most 2,000 characters. */
export const collaborationText = textUpTo(TEXT_MAX).refine(notBlank, 'must not be blank');

/** Why a proposal is rejected: not blank, at most 500 characters. */
export const rejectionReason = textUpTo(REASON_MAX).refine(notBlank, 'must not be blank');

const actor = z.string().min(1);
const note = z.string().min(1);
const proposal = z.string().min(1);
const version = z.int().min(1);
const text = personal(collaborationText, 'author');

/**
 * The payload schemas of the events that tell how people work together on a context.
 *
 * @param change the schema of what a change holds, as it is in `context_updated`
 */
export const collaborationEvents = <Change extends JsonObject>(change: z.ZodType<Change>) => ({
  note_added: z.strictObject({ note, text }),
  note_removed: z.strictObject({ note }),
  /** Only what changed. */
  rules_changed: z.strictObject({
    approvalsRequired: z.int().min(0).max(APPROVALS_MAX).exactOptional(),
    proposalsOnly: z.boolean().exactOptional(),
  }),
  /** `base` is the version that the author had in mind. */
  proposal_made: z.strictObject({ proposal, change, message: text.exactOptional(), base: version }),
  proposal_commented: z.strictObject({ proposal, text }),
  /** One more approval, which is not the last one needed. */
  proposal_approved: z.strictObject({ proposal }),
  proposal_rejected: z.strictObject({ proposal, reason: personal(rejectionReason, 'author').exactOptional() }),
  proposal_withdrawn: z.strictObject({ proposal }),
  /** Its author looked at it again at version `base`; the approvals are void. */
  proposal_rebased: z.strictObject({ proposal, change, base: version }),
  /** What it would change is written again, for rules of privacy that came after it; nothing else of it changes. */
  proposal_sealed: z.strictObject({ proposal, change }),
  /** The last approval that was needed came, and the context has changed as `context_updated` changes it. */
  proposal_applied: z.strictObject({ proposal, change, proposedBy: actor, approvedBy: z.array(actor) }),
});
