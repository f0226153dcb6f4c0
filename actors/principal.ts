import { SYSTEM_ACTOR } from './system-actor.ts';

/** What a credential can be good for, one name per kind of thing that can be done with it. */
export const SCOPES = [
  'contexts:read',
  'contexts:write',
  /** Invite, change roles, answer invitations, leave. */
  'contexts:share',
  'connections:read',
  'connections:write',
  'actors:read',
  /** Change oneself: profile, keys, sessions. */
  'actors:write',
  /** Hand a part of one's own rights to another actor. */
  'delegate',
  'audit:read',
  'webhooks:read',
  /** Have events sent to an address, with the rights to read that one has. */
  'webhooks:write',
  /** Act as an administrator, where the actor is one. */
  'admin',
] as const;

/** One of the scopes. */
export type Scope = (typeof SCOPES)[number];

/** What an actor can be granted beside what they own and what is shared with them. */
export const CAPABILITIES = ['administrator', 'auditor'] as const;

/** One of the capabilities. */
export type Capability = (typeof CAPABILITIES)[number];

/** How a caller proved who they are. */
type CredentialKind = 'bootstrap-key' | 'api-key' | 'session' | 'delegation' | 'webhook' | 'system';

/** A credential, by a name that tells nothing about its secret. */
interface Credential {
  readonly kind: CredentialKind;
  /** The key's, session's or delegation's id; the kind where there is only one. */
  readonly id: string;
}

/**
 * One hand-over of rights in a chain: `by` gave it to the next one in the chain, the last of whom is the caller.
 */
export interface DelegationLink {
  readonly id: string;
  readonly by: string;
}

/**
 * Who makes a request, in whose name and with which rights, however they proved it. Every kind of credential ends in
 * one of these, and objects decide by it alone. It is plain data: it crosses to the objects with each call.
 */
export interface Principal {
  /** The actor who acts. */
  readonly actor: string;
  /** Whose rights are used: the actor's own, or those of the first in a chain of delegations. */
  readonly subject: string;
  /** The capabilities of the subject. */
  readonly capabilities: readonly Capability[];
  readonly scopes: readonly Scope[];
  /** The contexts that the credential is good for; null for all that the subject may see. */
  readonly contexts: readonly string[] | null;
  readonly credential: Credential;
  /** From the subject to the actor; empty when the actor acts in their own name. */
  readonly chain: readonly DelegationLink[];
  /** When all this ends by itself, in milliseconds since 1970; null when it does not. */
  readonly expiresAt: number | null;
}

/** The service itself, when it acts for nobody. */
export const SYSTEM: Principal = {
  actor: SYSTEM_ACTOR,
  subject: SYSTEM_ACTOR,
  capabilities: ['administrator'],
  scopes: SCOPES,
  contexts: null,
  credential: { kind: 'system', id: 'system' },
  chain: [],
  expiresAt: null,
};
