import { isAdministrator, isAuditor } from '../../actors/access.ts';
import type { Principal } from '../../actors/principal.ts';
import type { AuditEvent } from '../../events/audit.ts';
import type { Env } from '../env.ts';
import { findContextId } from '../http/contexts.ts';
import type { AuthenticatedExchange } from '../http/exchange.ts';
import type { Route } from '../http/route.ts';
import { OnceAMinute } from './once-a-minute.ts';
import { describe, record } from './trail.ts';

/**
 * Reads that the trail keeps: `export` is a whole history at once, `credentials` are somebody else's, `oversight` is what
 * is read by right of a capability, by one who is no member.
 */
type Sensitivity = 'export' | 'credentials' | 'administration' | 'audit' | 'oversight';

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
    case 'actor.read':
    case 'delegation.list':
      return isOwn(request.params?.id, principal) ? null : 'credentials';
    case 'context.history':
    case 'context.list':
    case 'context.read':
    case 'context.watch':
    case 'context.graph':
    case 'context.invitations':
      return oversees(principal) ? 'oversight' : null;
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
  const { env, request, principal } = exchange;
  const described = describe(exchange, route, principal.credential.kind, principal);
  const id = request.params?.id;
  // It may be addressed by its ChittyID.
  const context = route.path.startsWith('/v1/contexts/') && id !== undefined ? await findContextId(env, id) : null;
  const stream = context === null ? described.stream : `context/${context}`;
  if (sensitivity === 'oversight' && context !== null && (await isMember(env, context, principal.subject))) return;
  const once = `${principal.credential.id} ${described.operation} ${stream}`;
  const now = Date.now();
  if (!isAlwaysSaid && said.wasSaid(once, now)) return;
  const data: Extract<AuditEvent, { type: 'sensitive_read' }>['data'] = { ...described, stream, reason: sensitivity };
  await record(exchange, principal, { type: 'sensitive_read', data }, principal.actor, null);
  said.note(once, now);
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
