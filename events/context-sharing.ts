import { z } from 'zod';

/** The prefix of an invitation's id. */
export const INVITATION_PREFIX = 'inv';

const role = z.enum(['owner', 'editor', 'viewer', 'auditor']);
const actor = z.string().min(1);
const invitation = z.string().min(1);

/** The payload schemas of the events that tell who may do what with a context. */
export const sharingEvents = {
  /** `actor` may take the role until `expiresAt`. */
  invitation_sent: z.strictObject({ invitation, actor, role, expiresAt: z.iso.datetime({ precision: 3 }) }),
  /** `actor` is a member from now on. */
  invitation_accepted: z.strictObject({ invitation, actor, role }),
  invitation_declined: z.strictObject({ invitation, actor }),
  invitation_withdrawn: z.strictObject({ invitation, actor }),
  member_role_changed: z.strictObject({ actor, role }),
  /** An owner removed the member. */
  member_removed: z.strictObject({ actor }),
  /** The member went by themselves. */
  member_left: z.strictObject({ actor }),
  /** The context belongs to `to`; `from` is a member with `formerRole`. */
  ownership_transferred: z.strictObject({ from: actor, to: actor, formerRole: role }),
};

/** What can happen to the circle of those who share a context. */
export type SharingEvent = {
  [Type in keyof typeof sharingEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof sharingEvents)[Type]>>;
  };
}[keyof typeof sharingEvents];
