import type { AuditEvent } from '../events/audit.ts';
import type { Decider } from './decider.ts';
import type { Principal } from './principal.ts';

/** How much an audit stream holds. */
type AuditRecord = { readonly entries: number; readonly version: number; readonly updatedAt: string };

/** Null while it holds nothing. */
export type AuditState = AuditRecord | null;

/** What there is to record: events that have happened elsewhere. */
export type AuditCommand = AuditEvent;

/** Whoever shows no credential, or none that tells who they are. */
export const NOBODY: Principal = {
  actor: 'act_unknown',
  subject: 'act_unknown',
  capabilities: [],
  scopes: [],
  contexts: null,
  credential: { kind: 'system', id: 'none' },
  chain: [],
  expiresAt: null,
};

/** Whatever comes is recorded. */
export const auditDecider: Decider<AuditState, AuditCommand, AuditEvent> = {
  initialState: null,
  decide: (command) => [command],
  evolve: (state, { version, time }) => ({ entries: (state?.entries ?? 0) + 1, version, updatedAt: time }),
};
