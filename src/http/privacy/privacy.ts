import { readBody } from '../body.ts';
import {
  atParameter,
  changeHeaders,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  problems,
} from '../operations.ts';
import { changePart, makePart, showPart } from '../parts.ts';
import { isProblem } from '../problem.ts';
import type { AuthenticatedRoute } from '../route.ts';
import {
  erasedBody,
  erasureBody,
  holdBody,
  privacyBody,
  privacyChangedBody,
  privacyRulesBody,
  retentionBody,
} from './schemas.ts';

/** How people's words in a context are kept, and how they are erased. */

const PATH = '/v1/contexts/:id';

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

const changedResponse = {
  description: 'How people’s words are kept from now on',
  headers: changeHeaders,
  content: { 'application/json': { schema: privacyChangedBody } },
};

/** GET /v1/contexts/{id}/privacy */
export const readPrivacy: AuthenticatedRoute = {
  method: 'GET',
  path: `${PATH}/privacy`,
  access: 'context.privacy',
  operation: {
    operationId: 'readPrivacy',
    tags: ['privacy'],
    summary: 'Whose words a context holds, and how they are kept, or were',
    description: 'Owners. Why a legal hold stands is told to administrators.',
    requestParams: { query: atParameter },
    responses: {
      200: { description: 'The rules', content: { 'application/json': { schema: privacyBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  handle(exchange) {
    return showPart(exchange, (object, moment) => object.privacy(exchange.principal, moment));
  },
};

/** PUT /v1/contexts/{id}/privacy */
export const setPrivacyRules: AuthenticatedRoute = {
  method: 'PUT',
  path: `${PATH}/privacy`,
  access: 'context.privacy',
  operation: {
    operationId: 'setPrivacyRules',
    tags: ['privacy'],
    summary: 'Say what of the metadata is whose words',
    description:
      'Owners. In the place of the rules before. What is there now and what is written from then on is encrypted under a ' +
      'key of that subject, in open proposals too; events from before stay as they are, so give the rules with the ' +
      'context (`privacy`) when you can. What no rule names any more stays sealed until something else is written in ' +
      'its place. A pointer leads through objects, not into arrays.',
    requestParams: conditions,
    requestBody: jsonBody(privacyRulesBody),
    responses: { 200: changedResponse, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422) },
  },
  async handle(exchange) {
    const body = await readBody(exchange, privacyRulesBody);
    return isProblem(body) ? body : changePart(exchange, { type: 'setPrivacyRules', rules: body.rules });
  },
};

/** PUT /v1/contexts/{id}/retention */
export const setRetention: AuthenticatedRoute = {
  method: 'PUT',
  path: `${PATH}/retention`,
  access: 'context.privacy',
  operation: {
    operationId: 'setRetention',
    tags: ['privacy'],
    summary: 'Say how long people’s words are kept',
    description:
      'Owners. When the time is up, everybody’s words in the context are erased. Under a legal hold nothing is ' +
      'erased; to place or to lift one counts as doing something in the context.',
    requestParams: conditions,
    requestBody: jsonBody(retentionBody),
    responses: { 200: changedResponse, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422) },
  },
  async handle(exchange) {
    const body = await readBody(exchange, retentionBody);
    return isProblem(body) ? body : changePart(exchange, { type: 'setRetention', retention: body });
  },
};

/** DELETE /v1/contexts/{id}/retention */
export const endRetention: AuthenticatedRoute = {
  method: 'DELETE',
  path: `${PATH}/retention`,
  access: 'context.privacy',
  operation: {
    operationId: 'endRetention',
    tags: ['privacy'],
    summary: 'Keep people’s words without an end',
    description: 'Owners.',
    requestParams: conditions,
    responses: { 200: changedResponse, ...problems(400, 401, 403, 404, 409, 412, 422) },
  },
  handle(exchange) {
    return changePart(exchange, { type: 'endRetention' });
  },
};

/** PUT /v1/contexts/{id}/legal-hold */
export const placeHold: AuthenticatedRoute = {
  method: 'PUT',
  path: `${PATH}/legal-hold`,
  access: 'context.hold',
  operation: {
    operationId: 'placeHold',
    tags: ['privacy'],
    summary: 'Keep everything in a context from being erased',
    description: 'Administrators. Until it is lifted nobody’s words are erased there, whoever asks for it.',
    requestParams: conditions,
    requestBody: jsonBody(holdBody),
    responses: { 200: changedResponse, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422) },
  },
  async handle(exchange) {
    const body = await readBody(exchange, holdBody);
    return isProblem(body) ? body : changePart(exchange, { type: 'placeHold', reason: body.reason });
  },
};

/** DELETE /v1/contexts/{id}/legal-hold */
export const liftHold: AuthenticatedRoute = {
  method: 'DELETE',
  path: `${PATH}/legal-hold`,
  access: 'context.hold',
  operation: {
    operationId: 'liftHold',
    tags: ['privacy'],
    summary: 'Lift a legal hold',
    description: 'Administrators. What was asked for meanwhile and could not be done is done then.',
    requestParams: conditions,
    responses: { 200: changedResponse, ...problems(400, 401, 403, 404, 409, 412, 422) },
  },
  handle(exchange) {
    return changePart(exchange, { type: 'liftHold' });
  },
};

/** POST /v1/contexts/{id}/erasures */
export const eraseInContext: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/erasures`,
  access: 'context.erase',
  operation: {
    operationId: 'eraseInContext',
    tags: ['privacy'],
    summary: 'Erase somebody’s words in a context',
    description:
      'Owners. The key is destroyed: nobody can read the words any more, here or in any copy of the history, which ' +
      'stays provable. New words of theirs are not taken. It cannot be undone.',
    requestParams: conditions,
    requestBody: jsonBody(erasureBody),
    responses: {
      201: {
        description: 'They are erased',
        headers: changeHeaders,
        content: { 'application/json': { schema: erasedBody } },
      },
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, erasureBody);
    if (isProblem(body)) return body;
    return makePart(exchange, { type: 'eraseSubject', subject: body.subject, reason: 'requested' });
  },
};
