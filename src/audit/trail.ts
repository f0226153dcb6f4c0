import type { AuditRequest } from '../../actors/audit-object.ts';
import { Directory } from '../../actors/directory.ts';
import type { Principal } from '../../actors/principal.ts';
import { type AuditEvent, auditStreamId } from '../../events/audit.ts';
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
 * Writes into the audit trail: into one of the day's streams, to which everything comes that is told of one caller.
 *
 * @param caller by what callers are told apart, and by what a flood is: the actor, or the address when nobody knows who
 *   they are, and what else is counted by itself
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

/**
 * What the trail says of a request. Only what is ours: what a caller wrote may hold anything, also secrets.
 *
 * @param stream what it is about (`<stream type>/<id>`); null when that is nothing, or nothing that can be there
 */
export function describe(route: Route, presented: string, { chain }: Principal, stream: string | null): Described {
  return {
    operation: route.operation.operationId ?? 'unknown',
    action: route.access === 'self-authenticating' ? route.action : route.access,
    stream,
    presented,
    chain: chain.map((link) => link.id),
  };
}
