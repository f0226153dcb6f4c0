import { isAdministrator, isAuditor } from '../../actors/access.ts';
import { isRefusal } from '../../actors/decider.ts';
import type { Principal } from '../../actors/principal.ts';
import type { AuditEvent } from '../../events/audit.ts';
import { CONNECTION_PREFIX } from '../../events/connection.ts';
import { delegatorOf } from '../../events/delegation.ts';
import { isId } from '../../events/id.ts';
import { WEBHOOK_PREFIX } from '../../events/webhook.ts';
import type { Env } from '../env.ts';
import { actorObject } from '../http/actors/address.ts';
import { connectionObject } from '../http/connections/address.ts';
import type { AuthenticatedExchange } from '../http/exchange.ts';
import type { Route } from '../http/route.ts';
import { webhookObject } from '../http/webhooks/address.ts';
import { streamsNamed } from './named.ts';
import { OnceAMinute } from './once-a-minute.ts';
import { describe, record } from './trail.ts';

/**
 * Reads that the trail keeps: `export` is a whole history at once, `credentials` are somebody else's, delegations too;
 * `oversight` is what is read by right of a capability, by one who could not read it without.
 */
type Sensitivity = 'export' | 'credentials' | 'administration' | 'audit' | 'oversight';

/** What stands before the id in the name of a context's stream. */
const CONTEXT = 'context/';

/** How long it is gone by whether somebody is a member, in milliseconds. */
const MEMBER_FRESH_MS = 5_000;
/** Answers that are remembered before all are forgotten. */
const MEMBERS_MAX = 10_000;

interface Membership {
  readonly isMember: boolean;
  /** In milliseconds since 1970. */
  readonly askedAt: number;
}

/** Who is a member of what, by context and actor. */
const memberships = new Map<string, Membership>();

/** The same read by the same credential is not recorded again for a while. */
const said = new OnceAMinute();

/**
 * Records what is given out when not everybody is given it, before it is: what cannot be recorded is not given out.
 * Nearly all requests are no such thing, and go on at once.
 *
 * @param response what is to be answered
 */
export function withReadRecorded(
  exchange: AuthenticatedExchange,
  route: Route,
  response: Response,
): Response | Promise<Response> {
  // A 304 gives nothing out.
  if (response.status >= 300) return response;
  const sensitivity = sensitivityOf(exchange, route, response);
  if (sensitivity === null) return response;
  return recordRead(exchange, route, sensitivity, isExport(response)).then(() => response);
}

/** Whether everything is given out at once. */
function isExport({ headers }: Response): boolean {
  return headers.get('Content-Type') === 'application/x-ndjson';
}

function sensitivityOf(exchange: AuthenticatedExchange, route: Route, response: Response): Sensitivity | null {
  const { principal, request } = exchange;
  const action = route.access === 'self-authenticating' ? route.action : route.access;
  if (isExport(response) && action !== 'audit.read') return 'export';
  switch (action) {
    case 'admin.read':
      return 'administration';
    case 'audit.read':
      return 'audit';
    case 'actor.history':
    case 'actor.read':
    case 'delegation.list':
      return isOwn(request.params?.id, principal) ? null : 'credentials';
    case 'context.history':
    case 'context.list':
    case 'context.read':
    case 'context.watch':
    case 'context.graph':
    case 'context.invitations':
    case 'connection.list':
    case 'connection.read':
    case 'feed.read':
    case 'webhook.read':
      return oversees(principal) ? 'oversight' : null;
    case 'webhook.list':
      return isAdministrator(principal) && !request.url.includes('owner=me') ? 'oversight' : null;
    // Those between whom the rights passed read what is theirs.
    case 'delegation.read':
      return oversees(principal) ? 'credentials' : null;
    default:
      return null;
  }
}

function isOwn(id: string | undefined, { actor }: Principal): boolean {
  return id === undefined || id === 'me' || id === actor;
}

/** Whether somebody acts as one who may read what is nobody's but its members'. */
function oversees(principal: Principal): boolean {
  return isAdministrator(principal) || isAuditor(principal);
}

async function recordRead(
  exchange: AuthenticatedExchange,
  route: Route,
  sensitivity: Sensitivity,
  isAlwaysSaid: boolean,
): Promise<void> {
  const { principal } = exchange;
  const streams = await streamsNamed(exchange, route, principal.actor);
  const [stream = null] = streams;
  const described = describe(route, principal.credential.kind, principal, stream);
  const once = `${principal.credential.id} ${described.operation} ${streams.join(' ')}`;
  const now = Date.now();
  if (!isAlwaysSaid && said.wasSaid(once, now)) return;
  const context = sensitivity === 'oversight' && stream?.startsWith(CONTEXT) ? stream.slice(CONTEXT.length) : null;
  if (sensitivity !== 'export' && (await isGivenAnyway(exchange, context))) return;
  const data: Extract<AuditEvent, { type: 'sensitive_read' }>['data'] = { ...described, reason: sensitivity };
  await record(exchange, principal, { type: 'sensitive_read', data }, principal.actor, null);
  said.note(once, now);
}

/**
 * Whether who oversees would be given it without that right as well.
 *
 * @param context the one context that all of it is of; null when it is of none, or of several
 */
async function isGivenAnyway(exchange: AuthenticatedExchange, context: string | null): Promise<boolean> {
  const { env, principal, request } = exchange;
  if (context !== null) return isMember(env, context, principal.subject);
  const id = request.params?.id ?? '';
  const anybody = { ...principal, capabilities: [] };
  if (isId(CONNECTION_PREFIX, id)) return !isRefusal(await connectionObject(exchange, id).read(anybody));
  if (isId(WEBHOOK_PREFIX, id)) return !isRefusal(await webhookObject(exchange, id).read(anybody));
  const delegator = delegatorOf(id);
  if (delegator === null) return false;
  return !isRefusal(await actorObject(exchange, delegator).delegation(anybody, id));
}

async function isMember(env: Env, context: string, actor: string): Promise<boolean> {
  const key = `${context} ${actor}`;
  const now = Date.now();
  const known = memberships.get(key);
  if (known && now - known.askedAt < MEMBER_FRESH_MS) return known.isMember;
  const answer = await env.CONTEXTS.get(env.CONTEXTS.idFromName(context)).hasMember(actor);
  if (memberships.size >= MEMBERS_MAX) memberships.clear();
  memberships.set(key, { isMember: answer, askedAt: now });
  return answer;
}
