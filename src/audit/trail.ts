import type { AuditRequest } from '../../actors/audit-object.ts';
import { Directory } from '../../actors/directory.ts';
import type { Principal } from '../../actors/principal.ts';
import { isActorId } from '../../events/actor.ts';
import { type AuditEvent, auditStreamId } from '../../events/audit.ts';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { DEAD_LETTER_PREFIX } from '../../events/dead-letter.ts';
import { delegatorOf } from '../../events/delegation.ts';
import { isId } from '../../events/id.ts';
import { INSTALLATION_PREFIX } from '../../events/installation.ts';
import { WEBHOOK_PREFIX } from '../../events/webhook.ts';
import { causeOf, type Exchange } from '../http/exchange.ts';
import type { Route } from '../http/route.ts';

/** Streams that are remembered to be registered before all are forgotten: there are 16 new ones a day. */
const REGISTERED_MAX = 100;

const registered = new Set<string>();

/** What the trail says of a request, whatever became of it. */
type Described = Pick<
  Extract<AuditEvent, { type: 'access_refused' }>['data'],
  'operation' | 'action' | 'stream' | 'presented' | 'chain'
>;

/**
 * Writes into the audit trail: into one of the day's streams, to which everything comes that one caller is refused.
 *
 * @param caller by what callers are told apart: the actor, or the address when nobody knows who they are
 * @param once what is said once a minute at most; null for what is always said
 */
export async function record(
  exchange: Exchange,
  principal: Principal,
  command: AuditEvent,
  caller: string,
  once: string | null,
): Promise<void> {
  const { env } = exchange;
  const id = auditStreamId(caller, Date.now());
  if (!registered.has(id)) {
    // Before the first event, so that sweeps and rebuilds find it.
    await new Directory(env.DIRECTORY).register(`audit/${id}`);
    if (registered.size >= REGISTERED_MAX) registered.clear();
    registered.add(id);
  }
  const request: AuditRequest = { id, command, principal, cause: causeOf(exchange), caller, once };
  await env.AUDIT.get(env.AUDIT.idFromName(id)).record(request);
}

/** What the trail says of a request. Only what is ours: what a caller wrote may hold anything, also secrets. */
export function describe(
  { request }: Exchange,
  route: Route,
  presented: string,
  { actor, chain }: Principal,
): Described {
  const id = request.params?.id;
  return {
    operation: route.operation.operationId ?? 'unknown',
    action: route.access === 'self-authenticating' ? route.action : route.access,
    stream: id === undefined ? null : streamNamed(id === 'me' ? actor : id),
    presented,
    chain: chain.map((link) => link.id),
  };
}

const PREFIXES = {
  context: CONTEXT_PREFIX,
  connection: 'con',
  dead_letter: DEAD_LETTER_PREFIX,
  installation: INSTALLATION_PREFIX,
  webhook: WEBHOOK_PREFIX,
} as const;

/** The stream that an id stands for; null when it is no id of a stream. */
function streamNamed(id: string): string | null {
  if (isActorId(id)) return `actor/${id}`;
  // A delegation is a part of the stream of the actor who made it.
  const delegator = delegatorOf(id);
  if (delegator !== null) return `actor/${delegator}`;
  const [type] = Object.entries(PREFIXES).find(([, prefix]) => isId(prefix, id)) ?? [];
  return type === undefined ? null : `${type}/${id}`;
}
