import type { Principal, Scope } from './principal.ts';

/**
 * Who may do what: the one place where that is decided. Every route names an action, every object asks `decideAccess`
 * about it, and so do live streams and lists. What a credential is good for (its scopes, its contexts) and what its
 * subject is to the thing (their relation) must both allow it.
 */

/** What an actor can be to a context. */
export const ROLES = ['owner', 'editor', 'viewer', 'auditor'] as const;

/** One of the roles. */
export type Role = (typeof ROLES)[number];

/** A member of a context. */
export type Member = {
  readonly actor: string;
  readonly role: Role;
  /** When the role was given (ISO 8601). */
  readonly since: string;
};

/**
 * What the caller is to the thing that they ask about: a role on a context; `self` for one's own actor, `acting` for it
 * while one acts for somebody else; `invited` for an invitation that waits for one's answer; `known` for what everybody may know of but only some may change;
 * `administrator` and `auditor` for those who have the capability; `creator` for what nobody has made yet; `source` and
 * `target` to a connection for those who may change the context that it leads from, or the one that it leads to.
 * Null: to them it does not exist.
 */
export type Relation =
  | Role
  | 'self'
  | 'acting'
  | 'invited'
  | 'known'
  | 'administrator'
  | 'creator'
  | 'source'
  | 'target'
  | null;

interface Rule {
  /** What the credential must be good for; null for what every credential may do with itself. */
  readonly scope: Scope | null;
  /** To whom it is allowed; `anyone` for what concerns no thing that is there already. */
  readonly to: 'anyone' | readonly Exclude<Relation, null>[];
  /** Whether it reaches into all contexts, which a credential that is limited to some must not. */
  readonly isEverywhere?: true;
}

const READERS = ['owner', 'editor', 'viewer', 'auditor', 'administrator'] as const;
const WRITERS = ['owner', 'editor', 'administrator'] as const;
const OWNERS = ['owner', 'administrator'] as const;
const ADMINISTRATORS = ['administrator'] as const;

/** Who may change a context at one end of a connection. */
const EITHER_END = ['source', 'target', 'administrator'] as const;

/** Everybody who is told that an actor exists, which is no secret. */
const EVERYBODY = ['self', 'acting', 'known', 'auditor', 'administrator'] as const;

/** Everything that can be done, with the scope that it needs and those who may do it. */
export const ACTIONS = {
  /** Also to those who have made it already: a creation that comes again is answered as the first time. */
  'context.create': { scope: 'contexts:write', to: ['creator', ...READERS] },
  'context.list': { scope: 'contexts:read', to: 'anyone' },
  'context.read': { scope: 'contexts:read', to: READERS },
  'context.history': { scope: 'contexts:read', to: READERS },
  /** All that one may read, wherever: each context decides about its own. */
  'feed.read': { scope: 'contexts:read', to: 'anyone' },
  'context.watch': { scope: 'contexts:read', to: READERS },
  'context.update': { scope: 'contexts:write', to: WRITERS },
  'context.retry': { scope: 'contexts:write', to: WRITERS },
  'context.delete': { scope: 'contexts:write', to: OWNERS },
  'context.restore': { scope: 'contexts:write', to: OWNERS },
  /** Invite and withdraw, change roles, remove members, hand over. */
  'context.share': { scope: 'contexts:share', to: OWNERS },
  'context.invitations': { scope: 'contexts:read', to: [...OWNERS, 'invited'] },
  /** Only one's own invitation; who is a member already is told what became of it. */
  'context.answer': { scope: 'contexts:share', to: ['invited', ...READERS] },
  'context.leave': { scope: 'contexts:share', to: READERS },
  'context.note': { scope: 'contexts:write', to: WRITERS },
  'context.rules': { scope: 'contexts:write', to: OWNERS },
  /** What is personal, and how long it is kept. */
  'context.privacy': { scope: 'contexts:write', to: OWNERS },
  'context.erase': { scope: 'contexts:write', to: OWNERS },
  'context.hold': { scope: 'admin', to: ADMINISTRATORS },
  'context.propose': { scope: 'contexts:write', to: WRITERS },
  'context.approve': { scope: 'contexts:write', to: WRITERS },
  /** The invitations that wait for one's answer, wherever. */
  'invitation.list': { scope: 'contexts:read', to: 'anyone' },
  /** What a context is connected to, with the names of the contexts there. */
  'context.graph': { scope: 'contexts:read', to: READERS },
  /** Between contexts that one may read both, from one that one may change. */
  'connection.create': { scope: 'connections:write', to: ['creator'] },
  'connection.list': { scope: 'connections:read', to: 'anyone' },
  'connection.read': { scope: 'connections:read', to: ['viewer', ...EITHER_END] },
  /** Say yes or no to it, for the context that it leads to. */
  'connection.consent': { scope: 'connections:write', to: ['target', 'administrator'] },
  /** Give a sign of life. */
  'connection.change': { scope: 'connections:write', to: EITHER_END },
  'connection.disconnect': { scope: 'connections:write', to: EITHER_END },
  /** What the service records about its own work. */
  'connection.record': { scope: 'admin', to: ADMINISTRATORS },
  /** What the service records about its own work. */
  'context.record': { scope: 'admin', to: ADMINISTRATORS },
  'actor.register': { scope: 'admin', to: ADMINISTRATORS },
  'actor.list': { scope: 'actors:read', to: 'anyone' },
  /** By id or ChittyID, the little that everybody may know: sharing needs it. */
  'actor.find': { scope: 'actors:read', to: EVERYBODY },
  'actor.read': { scope: 'actors:read', to: ['self', 'administrator'] },
  /** All words of one's own, for good, and oneself with them. */
  'actor.erase': { scope: 'actors:write', to: ['self', 'administrator'], isEverywhere: true },
  /** Everything that was changed of an actor, credentials and delegations too, of which it has hashes only. */
  'actor.history': { scope: 'actors:read', to: ['self', 'auditor', 'administrator'] },
  'actor.update': { scope: 'actors:write', to: ['self', 'administrator'] },
  /** Keys and sessions: make, rotate, end. */
  'actor.credentials': { scope: 'actors:write', to: ['self', 'administrator'] },
  /** Refresh or end the very session that asks for it. */
  'session.own': { scope: null, to: ['self', 'administrator'] },
  /** Of one's own, or of what was handed to one with the right to hand it on. */
  'delegation.grant': { scope: 'delegate', to: ['self', 'acting', 'administrator'] },
  'delegation.list': { scope: 'actors:read', to: ['self', 'administrator'] },
  /** Between whom the rights passed is decided by those who know: the actor who handed them on. */
  'delegation.read': { scope: 'actors:read', to: EVERYBODY },
  'delegation.revoke': { scope: 'delegate', to: EVERYBODY },
  /** By whoever acts with it. */
  'delegation.use': { scope: null, to: EVERYBODY },
  /** By whoever has the token itself. */
  'token.revoke': { scope: null, to: EVERYBODY },
  'token.introspect': { scope: null, to: 'anyone' },
  /** Capabilities, suspension, deletion. */
  'actor.govern': { scope: 'admin', to: ADMINISTRATORS },
  /** What the service records about its own work. */
  'actor.record': { scope: 'admin', to: ADMINISTRATORS },
  /** In one's own name: it reads with one's rights, for as long as one has them. */
  'webhook.create': { scope: 'webhooks:write', to: ['self', 'administrator'] },
  'webhook.list': { scope: 'webhooks:read', to: ['self', 'administrator'] },
  'webhook.read': { scope: 'webhooks:read', to: ['self', 'administrator'] },
  /** Its address and what is sent there, its secrets: nobody has another's reading sent to an address of theirs. */
  'webhook.change': { scope: 'webhooks:write', to: ['self'] },
  'webhook.delete': { scope: 'webhooks:write', to: ['self', 'administrator'] },
  /** What the service records about its own work. */
  'webhook.record': { scope: 'admin', to: ADMINISTRATORS },
  'admin.read': { scope: 'admin', to: ADMINISTRATORS },
  'admin.write': { scope: 'admin', to: ADMINISTRATORS },
  /** Of a context: who did what, and who was refused it. */
  'context.audit': { scope: 'audit:read', to: ['owner', 'auditor', 'administrator'] },
  /** One's own part of the audit trail; all of it for administrators and auditors (src/http/audit/access.ts). */
  'audit.read': { scope: 'audit:read', to: 'anyone' },
  /** What the service records about whoever calls. */
  'audit.record': { scope: null, to: 'anyone' },
  /** How the services around are: nothing that is anybody's. */
  'health.read': { scope: 'contexts:read', to: 'anyone' },
} as const satisfies Readonly<Record<string, Rule>>;

/** One of the actions. */
export type Action = keyof typeof ACTIONS;

/**
 * The answer to "may they?". `hidden` is for those who must not learn that the thing exists: they are told 404.
 * `insufficient-scope` is about the credential alone and tells nothing about any thing.
 */
export type Verdict = 'allowed' | 'insufficient-scope' | 'forbidden' | 'hidden';

/** Whether a credential is good for an action at all, whatever it is done to. */
export function hasScope(principal: Principal, action: Action): boolean {
  const { scope }: Rule = ACTIONS[action];
  return scope === null || principal.scopes.includes(scope);
}

/** Whether the caller acts as an administrator: the subject is one and the credential may be used as one's. */
export function isAdministrator({ capabilities, scopes }: Principal): boolean {
  return capabilities.includes('administrator') && scopes.includes('admin');
}

/** Whether the caller acts as an auditor of everything. */
export function isAuditor({ capabilities, scopes }: Principal): boolean {
  return capabilities.includes('auditor') && scopes.includes('audit:read');
}

/** Decides. @param relation what the caller is to the thing; see `Relation` */
export function decideAccess(principal: Principal, action: Action, relation: Relation): Verdict {
  const { to, isEverywhere }: Rule = ACTIONS[action];
  if (!hasScope(principal, action)) return 'insufficient-scope';
  if (to === 'anyone') return 'allowed';
  if (relation === null) return 'hidden';
  if (isEverywhere && principal.contexts !== null) return 'forbidden';
  return to.includes(relation) ? 'allowed' : 'forbidden';
}

/** What the caller is to a context. @param members those of the context, null before its creation */
export function relationToContext(principal: Principal, id: string, members: readonly Member[] | null): Relation {
  if (members === null) return principal.contexts === null ? 'creator' : null;
  if (principal.contexts !== null && !principal.contexts.includes(id)) return null;
  if (isAdministrator(principal)) return 'administrator';
  const role = members.find(({ actor }) => actor === principal.subject)?.role ?? null;
  return role ?? (isAuditor(principal) ? 'auditor' : null);
}

/**
 * What the caller is to an actor. Who acts for somebody else is not that somebody: a key made for the time after would
 * outlive the delegation. A credential that is limited to some contexts governs nobody.
 */
export function relationToActor(principal: Principal, id: string, exists: boolean): Relation {
  const isForItself = principal.chain.length === 0;
  if (isForItself && principal.contexts === null && isAdministrator(principal)) return 'administrator';
  if (!exists) return null;
  if (principal.actor === id) return isForItself ? 'self' : 'acting';
  return isForItself && principal.contexts === null && isAuditor(principal) ? 'auditor' : 'known';
}

/**
 * What the caller is to a webhook; to what nobody has made yet, the one who may make it. Who acts for somebody else has
 * none, and a credential that is limited to some contexts has to do with those alone that get nothing but these.
 */
export function relationToWebhook(
  principal: Principal,
  webhook: { readonly owner: string; readonly status: string; readonly contexts: readonly string[] | null } | null,
): Relation {
  const { actor, chain, contexts, credential } = principal;
  if (credential.kind === 'system') return 'administrator';
  if (webhook === null) return chain.length === 0 ? 'self' : 'acting';
  if (webhook.status === 'deleted') return null;
  if (actor === webhook.owner) {
    if (contexts !== null && !webhook.contexts?.every((context) => contexts.includes(context))) return null;
    return chain.length === 0 ? 'self' : 'acting';
  }
  return chain.length === 0 && contexts === null && isAdministrator(principal) ? 'administrator' : null;
}

/** What the caller is to something that only administrators have to do with, which is part of no context. */
export function relationToService(principal: Principal): Relation {
  return principal.contexts === null && isAdministrator(principal) ? 'administrator' : 'known';
}

/** Whether what somebody is to a context lets them read it. */
function isReader(relation: Relation): boolean {
  return READERS.some((reader) => reader === relation);
}

/** Whether what somebody is to a context lets them change it. */
export function isWriter(relation: Relation): boolean {
  return WRITERS.some((writer) => writer === relation);
}

/** What the caller is to a connection that is there. @param from, to what they are to the contexts at its ends */
export function relationToConnection(from: Relation, to: Relation): Relation {
  if (isWriter(to)) return 'target';
  if (isWriter(from)) return 'source';
  return isReader(from) || isReader(to) ? 'viewer' : null;
}

/** What the caller is to a connection that they ask for. @param from, to what they are to the contexts at its ends */
export function relationToNewConnection(from: Relation, to: Relation): Relation {
  if (!isReader(from) || !isReader(to)) return null;
  return isWriter(from) ? 'creator' : 'viewer';
}
