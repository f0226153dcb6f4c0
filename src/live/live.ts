import { z } from 'zod';
import { isRefusal } from '../../actors/decider.ts';
import type { Principal } from '../../actors/principal.ts';
import { withReadRecorded } from '../audit/reads.ts';
import { noteRefusal } from '../audit/refusals.ts';
import { refuseScope } from '../auth/authenticate.ts';
import { identifyWithTicket } from '../auth/tickets.ts';
import { contextId, contextObject } from '../http/contexts.ts';
import { problems } from '../http/operations.ts';
import { isProblem, PROBLEMS, type Problem, problemOf } from '../http/problem.ts';
import { readFlag, readOptionalInteger, readQuery } from '../http/query.ts';
import { jsonText } from '../http/respond.ts';
import type { Answer, AuthenticatedRoute, SelfAuthenticatingRoute } from '../http/route.ts';
import { admit } from '../limits/admit.ts';
import { subscribe } from './socket.ts';

/** Close codes for what an HTTP status would say: browsers do not show scripts the status of a failed handshake. */
const CLOSE_UNAUTHORIZED = 4401;
const CLOSE_FORBIDDEN = 4403;
const CLOSE_NOT_FOUND = 4404;
const CLOSE_TOO_MANY = 4429;

/** GET /v1/contexts/{id}/live */
export const watchContext: SelfAuthenticatingRoute = {
  method: 'GET',
  path: '/v1/contexts/:id/live',
  access: 'self-authenticating',
  action: 'context.watch',
  operation: {
    operationId: 'watchContext',
    tags: ['live'],
    summary: 'Watch a context over a WebSocket',
    description:
      'Text frames of JSON: first {"type":"hello","version","state"}, then {"type":"event","event"} for each event ' +
      'after `after`. Send every {"type":"sync"} frame back as it came; "ping" is answered "pong". Close codes: 4401 ' +
      'no valid credential, 4403 no access, 4404 no such context, 4408 too slow, 4410 deleted, 4429 too many requests. See ' +
      'docs/protocol.md.',
    requestParams: {
      query: z.object({
        after: z.int().min(0).optional().meta({ description: 'The last version you have; the present when left out' }),
        ticket: z
          .string()
          .optional()
          .meta({ description: 'A ticket, for clients that cannot send an Authorization header' }),
        presence: z
          .enum(['true', 'false'])
          .default('false')
          .meta({ description: 'Whether to be told who else watches: {"type":"presence","actors","count"}' }),
      }),
    },
    responses: {
      101: { description: 'The WebSocket is open' },
      '2XX': { description: 'Not given: the WebSocket opens with 101' },
      ...problems(400, 401, 403, 404, 426),
    },
  },
  async handle(exchange) {
    const { request } = exchange;
    const query = readQuery(request, ['after', 'ticket', 'presence']);
    if (isProblem(query)) return query;
    const wantsPresence = readFlag('presence', query.presence);
    if (isProblem(wantsPresence)) return wantsPresence;
    // Only a GET can become a WebSocket (RFC 6455, section 4.1); a HEAD comes here as well.
    const isUpgrade = request.method === 'GET' && request.headers.get('Upgrade')?.toLowerCase() === 'websocket';
    const deny = (code: number, principal: Principal | null, problem: Problem): Answer => {
      if (!isUpgrade) return problem;
      noteRefusal(exchange, watchContext, principal, problem);
      return refuse(code, problem.detail);
    };
    const id = await contextId(exchange);
    const principal = await identifyWithTicket(exchange);
    if (isProblem(principal)) {
      const code = PROBLEMS[principal.problem].status === 429 ? CLOSE_TOO_MANY : CLOSE_UNAUTHORIZED;
      return deny(code, null, principal);
    }
    const outOfScope = refuseScope(principal, 'context.watch');
    if (outOfScope) return deny(CLOSE_FORBIDDEN, principal, outOfScope);
    const admission = await admit({ ...exchange, principal }, watchContext);
    if (isProblem(admission)) return deny(CLOSE_TOO_MANY, principal, admission);
    if (isProblem(id)) return isUpgrade ? refuse(CLOSE_NOT_FOUND, id.detail) : id;
    if (!isUpgrade) {
      const detail = 'Open this address with a WebSocket client, or GET …/events as text/event-stream.';
      return { problem: 'upgrade-required', detail, headers: { Upgrade: 'websocket', Connection: 'Upgrade' } };
    }
    const after = readOptionalInteger('after', query.after, null, 0, Number.MAX_SAFE_INTEGER);
    if (isProblem(after)) return after;
    const history = await contextObject(exchange, id).history(principal, after ?? 0, 1);
    if (!isRefusal(history)) {
      const opened = await subscribe(exchange.env, id, after, principal, wantsPresence);
      return withReadRecorded({ ...exchange, principal }, watchContext, opened);
    }
    const problem = problemOf(history);
    if (history.refused !== 'forbidden' && history.refused !== 'not-found') return problem;
    return deny(history.refused === 'forbidden' ? CLOSE_FORBIDDEN : CLOSE_NOT_FOUND, principal, problem);
  },
};

/** POST /v1/contexts/{id}/tickets */
export const issueTicket: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/contexts/:id/tickets',
  access: 'context.watch',
  operation: {
    operationId: 'issueTicket',
    tags: ['live'],
    summary: 'Get a ticket to watch a context from a browser',
    description: 'It opens one WebSocket (…/live?ticket=) or one event stream (…/events?ticket=) within 30 seconds.',
    responses: {
      201: {
        description: 'The ticket',
        content: {
          'application/json': { schema: z.strictObject({ ticket: z.string(), expiresAt: z.iso.datetime() }) },
        },
      },
      ...problems(401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const id = await contextId(exchange);
    if (isProblem(id)) return id;
    const issued = await contextObject(exchange, id).issueTicket(exchange.principal);
    if (isRefusal(issued)) return problemOf(issued);
    return jsonText(exchange, 201, JSON.stringify({ ticket: issued.ticket, expiresAt: issued.expiresAt }));
  },
};

/** Opens a WebSocket only to close it with a code that says why. */
function refuse(code: number, reason: string): Response {
  const [client, server] = Object.values(new WebSocketPair());
  if (!client || !server) throw new Error('WebSocketPair gave no pair');
  server.accept();
  server.close(code, reason.slice(0, 100));
  return new Response(null, { status: 101, webSocket: client });
}
