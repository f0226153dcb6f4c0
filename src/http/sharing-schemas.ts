import { z } from 'zod';
import { ROLES } from '../../actors/access.ts';
import { APPROVALS_MAX, collaborationText, rejectionReason } from '../../events/context-collaboration.ts';
import { patchContextBody } from './context-schemas.ts';

const time = z.iso.datetime({ precision: 3 });
const role = z.enum(ROLES).meta({ description: 'What they may do: see ARCHITECTURE.md, "Who may do what"' });
const actor = z
  .string()
  .min(1)
  .max(100)
  .meta({ examples: ['act_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] });
const text = z
  .string()
  .trim()
  .pipe(collaborationText)
  .meta({ description: 'Trimmed, not blank, at most 2,000 characters' });

/** The body of POST …/invitations. */
export const inviteBody = z
  .strictObject({
    actor,
    role,
    expiresAt: z.iso
      .datetime({ offset: true })
      .exactOptional()
      .meta({ description: 'A week from now when left out; 30 days from now at most' }),
  })
  .meta({ id: 'NewInvitation' });

/** An invitation as clients see it. */
export const invitationBody = z
  .strictObject({
    id: z.string().meta({ examples: ['inv_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    context: z.strictObject({ id: z.string(), name: z.string() }),
    actor: z.string().meta({ description: 'Who is invited' }),
    role: z.enum(ROLES),
    invitedBy: z.string(),
    sentAt: time,
    expiresAt: time,
  })
  .meta({ id: 'Invitation' });

/** The body of PATCH …/members/{actor}. */
export const changeRoleBody = z.strictObject({ role }).meta({ id: 'RoleChange' });

/** The body of POST …/transfer. */
export const transferBody = z
  .strictObject({
    to: actor.meta({ description: 'The member whom the context is to belong to' }),
    formerRole: z.enum(ROLES).default('owner').meta({ description: 'What the one before is from then on' }),
  })
  .meta({ id: 'Transfer' });

/** The body of POST …/notes, and of POST …/comments. */
export const textBody = z.strictObject({ text }).meta({ id: 'NewText' });

/** A note as clients see it. */
export const noteBody = z
  .strictObject({
    id: z.string().meta({ examples: ['note_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    author: z.string(),
    text: z.string(),
    at: time,
  })
  .meta({ id: 'Note' });

const rules = {
  approvalsRequired: z
    .int()
    .min(0)
    .max(APPROVALS_MAX)
    .meta({ description: 'Approvals that a proposal needs; with 0 it is applied as soon as it is made' }),
  proposalsOnly: z.boolean().meta({ description: 'Whether only owners may change the context directly' }),
};

/** The rules of a context as clients see them. */
export const rulesBody = z.strictObject(rules).meta({ id: 'Rules' });

/** The body of PATCH …/rules. */
export const patchRulesBody = z
  .strictObject({
    approvalsRequired: rules.approvalsRequired.exactOptional(),
    proposalsOnly: rules.proposalsOnly.exactOptional(),
  })
  .meta({ id: 'RulesPatch' });

/** The body of POST …/proposals. */
export const proposeBody = z
  .strictObject({ change: patchContextBody, message: text.exactOptional() })
  .meta({ id: 'NewProposal' });

/** The body of POST …/reject. */
export const rejectBody = z
  .strictObject({
    reason: z
      .string()
      .trim()
      .pipe(rejectionReason)
      .exactOptional()
      .meta({ description: 'Trimmed, not blank, at most 500 characters' }),
  })
  .meta({ id: 'Rejection' });

const voice = z
  .strictObject({
    actor: z.string(),
    through: z.string().optional().meta({ description: 'Who acted in their name' }),
    at: time,
  })
  .meta({ id: 'Voice' });

const decision = {
  closedBy: voice,
  reason: z.string().nullable(),
  version: z.int().meta({ description: 'The version of the event that decided it' }),
};

/** What can have become of a proposal. */
export const DECISIONS = ['applied', 'rejected', 'withdrawn'] as const;

/** A proposal as clients see it. */
export const proposalBody = z
  .strictObject({
    id: z.string().meta({ examples: ['pro_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    status: z.enum(['open', 'stale', ...DECISIONS]),
    author: voice,
    message: z.string().nullable(),
    change: z.record(z.string(), z.unknown()).meta({ description: 'What it changes, as `data` of `context_updated`' }),
    base: z.int().meta({ description: 'The version that its author had in mind' }),
    staleSince: z.int().nullable().meta({ description: 'The version at which somebody changed the same' }),
    approvals: z.array(voice),
    approvalsRequired: z.int(),
    comments: z.array(z.strictObject({ author: z.string(), text: z.string(), at: time })),
    closed: z.strictObject(decision).nullable(),
  })
  .meta({ id: 'Proposal' });

/** What became of a proposal. */
export const decidedBody = z
  .strictObject({ id: z.string(), status: z.enum(DECISIONS), ...decision })
  .meta({ id: 'DecidedProposal' });

/** Who watches a context. */
export const presenceBody = z
  .strictObject({
    actors: z.array(z.string()).meta({ description: 'At most 100 of them' }),
    count: z.int().meta({ description: 'How many there are' }),
  })
  .meta({ id: 'Presence' });
