import type { ContextCommand } from '../../actors/context.ts';
import { isRefusal, type Moment } from '../../actors/decider.ts';
import type { RefusalReply } from '../../actors/messages.ts';
import { derivedId, newId } from '../../events/id.ts';
import type { ContextObject } from '../objects.ts';
import { headersOf } from './change.ts';
import { readIdempotencyKey } from './conditions.ts';
import { change, changeResponse, contextId, contextObject } from './contexts.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import { isProblem, type Problem, problemOf } from './problem.ts';
import { readOptionalMoment, readQuery } from './query.ts';
import { empty, jsonText } from './respond.ts';
import type { Answer } from './route.ts';

/** The parts of a context that have ids and addresses of their own: invitations, notes, proposals. */

/** What a PATCH of a part is sent as: a JSON Merge Patch (RFC 7396). */
export const PATCH_TYPES = ['application/merge-patch+json', 'application/json'];

/**
 * The id of a new part of the context in the path: the same for the same Idempotency-Key, so that a request that is
 * tried again is the same request.
 */
export async function newPartId(exchange: AuthenticatedExchange, prefix: string): Promise<string | Problem> {
  const key = readIdempotencyKey(exchange.request.headers);
  if (isProblem(key)) return key;
  if (key === undefined) return newId(prefix, Date.now());
  const context = await contextId(exchange);
  return isProblem(context) ? context : derivedId(prefix, `${context} ${exchange.principal.actor} ${key}`);
}

/** A variable part of the path. */
export function pathPart({ request }: AuthenticatedExchange, name: string): string {
  return request.params?.[name] ?? '';
}

/** Carries out a command that makes a part: 201 and the part. */
export function makePart(exchange: AuthenticatedExchange, command: ContextCommand): Promise<Answer> {
  return change(exchange, command, (reply) => changeResponse(exchange, reply, 201));
}

/** Carries out a command: 200 and what it was about. */
export function changePart(exchange: AuthenticatedExchange, command: ContextCommand): Promise<Answer> {
  return change(exchange, command, (reply) => changeResponse(exchange, reply, 200));
}

/** Carries out a command after which there is nothing to show: 204. */
export function endPart(exchange: AuthenticatedExchange, command: ContextCommand): Promise<Answer> {
  return change(exchange, command, (reply) => empty(exchange, 204, headersOf(reply)));
}

/** Something of a context that its object gives as JSON text, as it is or as it was at a moment. */
type See = (
  object: DurableObjectStub<ContextObject>,
  moment: Moment | undefined,
) => Promise<{ readonly seen: string } | RefusalReply>;

/**
 * Reads something of the context in the path.
 *
 * @param at the query parameter: a version or a time; the present when left out
 */
export async function readPart(
  exchange: AuthenticatedExchange,
  at: string | undefined,
  see: See,
): Promise<string | Problem> {
  const moment = readOptionalMoment('at', at);
  if (isProblem(moment)) return moment;
  const id = await contextId(exchange);
  if (isProblem(id)) return id;
  const answer = await see(contextObject(exchange, id), moment);
  return isRefusal(answer) ? problemOf(answer) : answer.seen;
}

/** Answers with something of the context in the path, as it is or as it was `at`. @param show it as the answer has it */
export async function showPart(
  exchange: AuthenticatedExchange,
  see: See,
  show = (seen: string) => seen,
): Promise<Answer> {
  const query = readQuery(exchange.request, ['at']);
  if (isProblem(query)) return query;
  const seen = await readPart(exchange, query.at, see);
  return isProblem(seen) ? seen : jsonText(exchange, 200, show(seen));
}

/** A list of parts as an answer has it, whole: it is bounded. */
export function listed(items: string): string {
  return `{"items":${items}}`;
}
