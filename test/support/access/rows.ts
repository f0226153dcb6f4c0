import {
  type Action,
  decideAccess,
  hasScope,
  type Relation,
  relationToActor,
  relationToConnection,
  relationToContext,
  relationToNewConnection,
  relationToService,
  relationToWebhook,
} from '../../../actors/access.ts';
import type { Principal } from '../../../actors/principal.ts';
import { derivedId } from '../../../events/id.ts';
import type { Route } from '../../../src/http/route.ts';
import { delegate } from '../delegations.ts';
import type { Kind, Standing } from './credentials.ts';
import type { World } from './world.ts';

/** What becomes of a request as far as access goes; `through` is whatever else it is answered. */
export type Outcome = 'unauthorized' | 'insufficient-scope' | 'forbidden' | 'hidden' | 'through';

/** One cell of the table. */
export interface Cell {
  readonly route: Route;
  readonly standing: Standing;
  readonly kind: Kind;
  readonly principal: Principal | null;
}

/** What a request is sent with beside its credential. */
export interface Request {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly json?: object;
  readonly form?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** How a route is called, and what it is that it asks the access model about. */
export interface Row {
  /** What the caller is to the thing that it is about; left out where there is none. */
  readonly relation?: (world: World, cell: Cell & { principal: Principal }) => Relation;
  /** What the thing decides about, where it is not what the route says. */
  readonly action?: Action;
  /** What stands in the place of the answer of the access model. @returns undefined where that counts */
  readonly unless?: (world: World, cell: Cell) => Outcome | undefined;
  /** How it begins what is said where the thing does not exist. */
  readonly hidden?: string;
  readonly request?: (world: World, cell: Cell, isThrough: boolean) => Request | Promise<Request>;
  /** Whose sessions it ends when it is let through. */
  readonly endsSessionsOf?: Standing | 'caller';
}

/** The answer that the access model gives. */
export function expectedOutcome(world: World, row: Row, cell: Cell, routeAction: Action | null): Outcome {
  const { principal } = cell;
  const exception = row.unless?.(world, cell);
  if (exception !== undefined) return exception;
  if (routeAction === null) return 'through';
  if (principal === null) return 'unauthorized';
  // A browser sends cookies along whoever asks.
  if (cell.kind === 'a cookie without the CSRF token' && cell.route.method !== 'GET') return 'forbidden';
  if (!hasScope(principal, routeAction)) return 'insufficient-scope';
  const relation = row.relation?.(world, { ...cell, principal }) ?? null;
  const verdict = decideAccess(principal, row.action ?? routeAction, relation);
  return verdict === 'allowed' ? 'through' : verdict;
}

/** A condition that no change meets: it is looked at only after it was decided that the caller may ask for the change. */
const UNMET = { 'If-Match': '"999999"' };

type Requested = Request | ((world: World) => Request);

const asked = (request: Requested, world: World) => (typeof request === 'function' ? request(world) : request);

interface Caller {
  readonly principal: Principal;
  readonly standing: Standing;
}

/** What the caller is to the context. */
function toContext(world: World, { principal, standing }: Caller): Relation {
  const asMember = relationToContext(principal, world.context, world.members);
  if (asMember !== null || standing !== 'invited') return asMember;
  return principal.contexts?.includes(world.context) === false ? null : 'invited';
}

/** What the caller is to the context that it is connected to, which has the same members. */
function toNeighbour(world: World, { principal }: Caller): Relation {
  return relationToContext(principal, world.neighbour, world.members);
}

const NO_CONTEXT = 'There is no context with this id.';

/** About the context. */
function onContext(request: Requested = {}, more: Partial<Row> = {}): Row {
  return {
    relation: toContext,
    hidden: NO_CONTEXT,
    request: (world) => {
      const given = asked(request, world);
      return { ...given, path: { id: world.context, ...given.path }, headers: { ...UNMET, ...given.headers } };
    },
    ...more,
  };
}

const target = (world: World) => world.person('the actor').id;

/** About the actor that is one of those who call. */
function onActor(request: Request = {}, more: Partial<Row> = {}): Row {
  return {
    relation: (world, { principal }) => relationToActor(principal, target(world), true),
    request: (world) => ({ ...request, path: { id: target(world), ...request.path }, headers: UNMET }),
    ...more,
  };
}

/** About the connection from the context to its neighbour. */
function onConnection(): Row {
  return {
    relation: (world, caller) => relationToConnection(toContext(world, caller), toNeighbour(world, caller)),
    hidden: 'There is no connection with this id.',
    request: (world) => ({ path: { id: world.connection }, headers: UNMET }),
  };
}

/** About the caller's own actor. */
function onOneself(request: Requested = {}, more: Partial<Row> = {}): Row {
  return {
    relation: (_world, { principal }) => relationToActor(principal, principal.actor, true),
    request: (world) => asked(request, world),
    ...more,
  };
}

/** About the service itself. The query is wrong, so that nothing is done when it is let through. */
function onService(path: Readonly<Record<string, string>> = {}): Row {
  return {
    relation: (_world, { principal }) => relationToService(principal),
    request: () => ({ path, query: '?nothing=1' }),
  };
}

/** Who may have events sent has to be able to read them. */
const unlessUnread: Row['unless'] = (_world, { principal, route }) => {
  const isLacking = principal !== null && !hasScope(principal, 'feed.read');
  return isLacking && hasScope(principal, route.access as Action) ? 'insufficient-scope' : undefined;
};

/** About the webhook of the actor that is one of those who call. */
function onWebhook(request: Request = {}, more: Partial<Row> = {}): Row {
  return {
    relation: (world, { principal }) =>
      relationToWebhook(principal, { owner: target(world), status: 'active', contexts: null }),
    hidden: 'There is no webhook with this id.',
    request: (world) => ({ ...request, path: { id: world.webhook }, headers: UNMET }),
    ...more,
  };
}

/** About the webhooks that the caller has, or will have. */
function onOnesWebhooks(request: Request = {}, more: Partial<Row> = {}): Row {
  return { relation: (_world, { principal }) => relationToWebhook(principal, null), request: () => request, ...more };
}

/** About nothing that is anybody's. */
function onNothing(request: Request = {}): Row {
  return { request: () => request };
}

/** For everybody, also without a credential or with a wrong one. */
function forEverybody(outcome: Outcome = 'through'): Row {
  return { unless: () => outcome };
}

const nobody = (prefix: string) => derivedId(prefix, 'access table: nobody');
const invitation = { path: { invitation: nobody('inv') } };
const note = { path: { note: nobody('note') } };
const letter = { id: nobody('dead') };
const onProposal = (json?: object) =>
  onContext((world) => ({ path: { proposal: world.proposal }, ...(json && { json }) }));

/** Only those between whom the rights passed know of a delegation: the actor gave it to the bystander. */
function onDelegation(hidden: string): Row {
  const isParty = (world: World, principal: Principal) =>
    principal.actor === target(world) || relationToActor(principal, target(world), true) === 'administrator';
  return {
    relation: (world, { principal }) => relationToActor(principal, target(world), true),
    hidden,
    unless: (world, { principal, route, kind }) => {
      if (principal === null || (kind === 'a cookie without the CSRF token' && route.method !== 'GET'))
        return undefined;
      const action = route.access as Action;
      return hasScope(principal, action) && !isParty(world, principal) ? 'hidden' : undefined;
    },
    request: async (world, _cell, isThrough) => {
      const { headers } = await world.person('the actor').present('a key with all scopes', null);
      const key = headers.Authorization?.slice('Bearer '.length) ?? '';
      made = isThrough || made === null ? delegate(key, world.bystander, ['contexts:read']) : made;
      return { path: { id: (await made).id } };
    },
  };
}

let made: Promise<{ id: string }> | null = null;

/** How each route is called, by its operation. A route that is not here fails the test. */
export const rows: Readonly<Record<string, Row>> = {
  health: forEverybody(),
  openApi: forEverybody(),
  readJwks: forEverybody(),
  readCheckpoint: forEverybody(),
  readTile: { ...forEverybody(), request: () => ({ path: { path: '0/000' } }) },
  readLogKeys: forEverybody(),
  ecosystem: onNothing(),
  metrics: onService(),

  createContext: {
    relation: (_world, { principal }) => relationToContext(principal, '', null),
    hidden: NO_CONTEXT,
    request: () => ({ json: { name: 'Made in the table' } }),
  },
  listContexts: onNothing(),
  readFeed: onNothing(),
  searchContexts: onNothing({ query: '?q=made' }),
  readContext: onContext(),
  patchContext: onContext({ json: { name: 'Changed' } }),
  deleteContext: onContext(),
  restoreContext: onContext(),
  revertContext: onContext({ json: { to: 1 } }),
  retryProvisioning: onContext(),
  readHistory: onContext(),
  readProof: onContext({ query: '?version=1' }),
  // Long enough for what was changed just now to be in the log.
  readBundle: onContext({ query: '?wait=30' }),
  readFieldHistory: onContext({ query: '?pointer=/name' }),
  diffContext: onContext({ query: '?from=1' }),
  watchContext: onContext(
    { headers: { Upgrade: 'websocket' } },
    // It is no change, but no browser would let a page of another site read an answer, which it does with a socket.
    { unless: (_world, { kind }) => (kind === 'a cookie without the CSRF token' ? 'unauthorized' : undefined) },
  ),
  issueTicket: onContext(),
  readPresence: onContext(),

  sendInvitation: onContext((world) => ({ json: { actor: world.bystander, role: 'viewer' } })),
  listContextInvitations: onContext(),
  acceptInvitation: onContext(invitation),
  declineInvitation: onContext(invitation),
  withdrawInvitation: onContext(invitation),
  listInvitations: onNothing(),
  changeRole: onContext((world) => ({ path: { actor: world.person('editor').id }, json: { role: 'owner' } })),
  removeMember: onContext((world) => ({ path: { actor: world.bystander } }), { action: 'context.share' }),
  leaveContext: onContext(),
  transferOwnership: onContext((world) => ({ json: { to: world.person('editor').id } })),

  addNote: onContext({ json: { text: 'a note' } }),
  listNotes: onContext(),
  removeNote: onContext(note),
  makeProposal: onContext({ json: { change: { name: 'Another' } } }),
  listProposals: onContext(),
  readProposal: onProposal(),
  commentProposal: onProposal({ text: 'a comment' }),
  approveProposal: onProposal(),
  rejectProposal: onProposal(),
  withdrawProposal: onProposal(),
  rebaseProposal: onProposal(),
  readRules: onContext(),
  patchRules: onContext({ json: { approvalsRequired: 2 } }),

  readPrivacy: onContext(),
  setPrivacyRules: onContext({ json: { rules: [] } }),
  setRetention: onContext({ json: { days: 30, after: 'deletion' } }),
  endRetention: onContext(),
  placeHold: onContext({ json: { reason: 'a lawsuit' } }),
  liftHold: onContext(),
  eraseInContext: onContext({ json: { subject: 'nobody' } }),
  eraseActor: {
    ...onActor(),
    request: (world) => ({ json: { subject: target(world) }, headers: UNMET }),
  },
  readErasure: onActor(),

  readGraph: onContext(
    {},
    {
      // What it shows are connections.
      unless: (_world, { principal }) =>
        principal !== null && !hasScope(principal, 'connection.read') ? 'insufficient-scope' : undefined,
    },
  ),
  createConnection: {
    relation: (world, caller) => relationToNewConnection(toContext(world, caller), toNeighbour(world, caller)),
    hidden: 'There is no context with the id in',
    request: (world) => ({ json: { from: world.context, to: world.neighbour, type: 'knows' } }),
  },
  listConnections: onNothing(),
  readConnection: onConnection(),
  readConnectionHistory: onConnection(),
  consentToConnection: onConnection(),
  declineConnection: onConnection(),
  sendHeartbeat: onConnection(),
  disconnect: onConnection(),

  registerActor: {
    relation: (_world, { principal }) => relationToService(principal),
    request: () => ({ json: { kind: 'agent', name: 'Made in the table' } }),
  },
  listActors: onNothing(),
  readActor: onActor(),
  readActorHistory: onActor(),
  readActorProof: onActor({ query: '?version=1' }),
  readActorBundle: onActor({ query: '?wait=30' }),
  patchActor: onActor({ json: { name: 'Changed' } }),
  deleteActor: onActor(),
  suspendActor: onActor(),
  reinstateActor: onActor(),
  grantCapability: onActor({ path: { capability: 'administrator' } }),
  revokeCapability: onActor({ path: { capability: 'administrator' } }),
  issueKey: onActor({ json: { name: 'Made in the table', scopes: ['actors:write'] } }),
  listKeys: onActor(),
  rotateKey: onActor({ path: { key: nobody('key') } }),
  revokeKey: onActor({ path: { key: nobody('key') } }),
  startSession: onOneself(
    {},
    // It takes a key: what was started would else go on for ever.
    { unless: (_world, { principal }) => (principal?.credential.kind === 'session' ? 'forbidden' : undefined) },
  ),
  refreshSession: forEverybody('unauthorized'),
  endCurrentSession: onOneself(
    {},
    {
      // Who came with another credential is told so.
      unless: (_world, { principal }) =>
        principal !== null && principal.credential.kind !== 'session' ? 'through' : undefined,
      endsSessionsOf: 'caller',
    },
  ),
  listSessions: onActor(),
  endSession: onActor({ path: { session: nobody('ses') } }),
  endAllSessions: onActor({}, { endsSessionsOf: 'the actor' }),

  delegate: onOneself((world) => ({ json: { to: world.bystander, scopes: ['delegate'] } })),
  listDelegations: onOneself(),
  readDelegation: onDelegation('There is no delegation with this id.'),
  revokeDelegation: onDelegation('There is no such delegation; it may have ended already.'),
  introspectToken: onNothing({ form: { token: 'nothing' } }),
  revokeToken: onNothing({ form: { token: 'nothing' } }),

  // With nothing in it, it makes none when it is let through.
  createWebhook: onOnesWebhooks({ json: {} }, { unless: unlessUnread }),
  listWebhooks: onOnesWebhooks(),
  readWebhook: onWebhook(),
  patchWebhook: onWebhook({ json: { description: 'Changed' } }, { unless: unlessUnread }),
  deleteWebhook: onWebhook(),
  rotateWebhookSecret: onWebhook(),
  listDeliveries: onWebhook(),
  testWebhook: onWebhook(),
  replayWebhook: onWebhook({ json: { from: '-1' } }, { unless: unlessUnread }),
  enableWebhook: onWebhook({}, { unless: unlessUnread }),
  disableWebhook: onWebhook(),

  readOutbox: onService(),
  retryOutbox: onService({ type: 'context', id: nobody('ctx') }),
  readColdHistory: onService(),
  archiveStream: onService({ type: 'context', id: nobody('ctx') }),
  rebuildReadModels: onService(),
  listSigningKeys: onService(),
  rotateSigningKeys: onService(),
  resealSigningKeys: onService(),
  listDeadLetters: onService(),
  readDeadLetter: onService(letter),
  replayDeadLetter: onService(letter),
  dropDeadLetter: onService(letter),
  // About a context; test/worker/audit-access.test.ts has what is about none.
  readAudit: {
    relation: toContext,
    action: 'context.audit',
    hidden: NO_CONTEXT,
    request: (world) => ({ query: `?context=${world.context}` }),
  },
  listInstallations: onService(),
  readInstallation: onService({ id: nobody('inst') }),
  readLimits: onService(),
  changeLimits: onService(),
  // GitHub signs; no credential of ours opens it.
  githubWebhook: forEverybody('unauthorized'),
  embeddedGET: onService({ path: 'dna/health' }),
  embeddedPOST: onService({ path: 'dna/health' }),
  embeddedPUT: onService({ path: 'faults/dna' }),
  embeddedDELETE: onService({ path: 'faults/dna' }),
};
