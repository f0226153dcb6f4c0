import { isRefusal } from '../../../actors/decider.ts';
import { isActorId } from '../../../events/actor.ts';
import { BOOTSTRAP_ACTOR } from '../../../events/bootstrap-actor.ts';
import { forgetAccessView } from '../../auth/access-views.ts';
import { ensureFirstAdministrator } from '../../auth/first-administrator.ts';
import { actorId, actorObject } from '../actors/address.ts';
import { readBody } from '../body.ts';
import { conditionsOf, headersOf, readConditions } from '../change.ts';
import { type AuthenticatedExchange, causeOf } from '../exchange.ts';
import {
  changeHeaders,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  locationHeader,
  problems,
} from '../operations.ts';
import { isProblem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { Answer, AuthenticatedRoute } from '../route.ts';
import { actorErasureBody, erasureBody } from './schemas.ts';

/** The erasure of an actor everywhere. */

const erasureContent = { 'application/json': { schema: actorErasureBody } };

/** POST /v1/erasures */
export const eraseActor: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/erasures',
  access: 'actor.erase',
  operation: {
    operationId: 'eraseActor',
    tags: ['privacy'],
    summary: 'Erase all words of an actor, wherever they are',
    description:
      'The actor itself, or an administrator, with a credential that is not limited to some contexts. The actor is ' +
      'deleted with them. It is refused (409) while a legal hold stands in one of the contexts that hold words of ' +
      'theirs, and (503) while one of these cannot tell. The answer comes when all contexts have erased them, ' +
      'or after 10 s; it goes on then.',
    requestParams: { header: idempotencyParameter.extend(ifMatchParameter.shape) },
    requestBody: jsonBody(erasureBody),
    responses: {
      201: {
        description: 'They are erased, as far as it says',
        headers: changeHeaders.extend(locationHeader.shape),
        content: erasureContent,
      },
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, erasureBody);
    if (isProblem(body)) return body;
    const conditions = readConditions(exchange.request.headers);
    if (isProblem(conditions)) return conditions;
    const { subject: id } = body;
    if (!isActorId(id)) return { problem: 'not-found', detail: 'There is no actor with this id.' };
    if (id === BOOTSTRAP_ACTOR) await ensureFirstAdministrator(exchange.env);
    const command = { type: 'erase' } as const;
    const { principal } = exchange;
    const reply = await actorObject(exchange, id).erase({
      id,
      command,
      principal,
      cause: causeOf(exchange),
      ...conditionsOf(exchange, command, conditions),
    });
    forgetAccessView(id);
    if (isRefusal(reply)) return problemOf(reply);
    const headers = { ...headersOf(reply), Location: `/v1/erasures/${id}` };
    return jsonText(exchange, 201, JSON.stringify(reply.record), headers);
  },
};

/** GET /v1/erasures/{id} */
export const readErasure: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/erasures/:id',
  access: 'actor.erase',
  operation: {
    operationId: 'readErasure',
    tags: ['privacy'],
    summary: 'How far the erasure of an actor is',
    description: 'Administrators: the actor itself has no credentials any more.',
    responses: {
      200: { description: 'How far it is', content: erasureContent },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange: AuthenticatedExchange): Promise<Answer> {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const id = await actorId(exchange);
    if (isProblem(id)) return id;
    const erasure = await actorObject(exchange, id).erasure(exchange.principal);
    return isRefusal(erasure) ? problemOf(erasure) : jsonText(exchange, 200, JSON.stringify(erasure));
  },
};
