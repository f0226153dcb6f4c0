import { z } from 'zod';
import type { ProposalCommand } from '../../actors/proposals.ts';
import { PROPOSAL_PREFIX } from '../../events/context-collaboration.ts';
import { readBody, readOptionalBody } from './body.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import {
  atParameter,
  changeHeaders,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  problems,
} from './operations.ts';
import { changePart, makePart, newPartId, PATCH_TYPES, pathPart, readPart, showPart } from './parts.ts';
import { invalid, isProblem } from './problem.ts';
import { readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { Answer, AuthenticatedRoute } from './route.ts';
import {
  DECISIONS,
  decidedBody,
  patchRulesBody,
  proposalBody,
  proposeBody,
  rejectBody,
  rulesBody,
  textBody,
} from './sharing-schemas.ts';

const PATH = '/v1/contexts/:id/proposals';
const ONE = `${PATH}/:proposal`;

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

const proposalResponse = (description: string) => ({
  description,
  headers: changeHeaders,
  content: { 'application/json': { schema: proposalBody } },
});

/** POST /v1/contexts/{id}/proposals */
export const makeProposal: AuthenticatedRoute = {
  method: 'POST',
  path: PATH,
  access: 'context.propose',
  operation: {
    operationId: 'makeProposal',
    tags: ['collaboration'],
    summary: 'Propose a change of a context',
    description:
      'Owners and editors. It is applied, as one event with all names on it, when as many others have approved as the ' +
      'rules of the context ask for. At most 50 are open at a time.',
    requestParams: conditions,
    requestBody: jsonBody(proposeBody),
    responses: {
      201: proposalResponse('The proposal'),
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, proposeBody);
    if (isProblem(body)) return body;
    const proposal = await newPartId(exchange, PROPOSAL_PREFIX);
    return isProblem(proposal) ? proposal : makePart(exchange, { type: 'propose', proposal, ...body });
  },
};

const proposalsBody = z.strictObject({ items: z.array(proposalBody), decided: z.array(decidedBody) });
type Proposals = z.infer<typeof proposalsBody>;

const status = z.enum(['open', 'stale', ...DECISIONS]);

/** GET /v1/contexts/{id}/proposals */
export const listProposals: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'context.read',
  operation: {
    operationId: 'listProposals',
    tags: ['collaboration'],
    summary: 'The proposals for a context, as they are or as they were',
    description: 'All that are open or stale, and what became of the last 50 others.',
    requestParams: { query: z.object({ status: status.optional(), at: atParameter.shape.at }) },
    responses: {
      200: { description: 'Oldest first', content: { 'application/json': { schema: proposalsBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['status', 'at']);
    if (isProblem(query)) return query;
    const wanted = status.optional().safeParse(query.status);
    if (!wanted.success) return invalid('status', `must be one of ${status.options.join(', ')}`);
    const seen = await readPart(exchange, query.at, (object, moment) => object.proposals(exchange.principal, moment));
    if (isProblem(seen)) return seen;
    if (wanted.data === undefined) return jsonText(exchange, 200, seen);
    const all: Proposals = JSON.parse(seen);
    const has = (each: { readonly status: string }) => each.status === wanted.data;
    return jsonText(exchange, 200, JSON.stringify({ items: all.items.filter(has), decided: all.decided.filter(has) }));
  },
};

/** GET /v1/contexts/{id}/proposals/{proposal} */
export const readProposal: AuthenticatedRoute = {
  method: 'GET',
  path: ONE,
  access: 'context.read',
  operation: {
    operationId: 'readProposal',
    tags: ['collaboration'],
    summary: 'One proposal with its comments and approvals, as it is or as it was',
    description:
      'Open, or one of the last 50 that were decided: now, or at the moment `at`. Older ones are in the history.',
    requestParams: { query: atParameter },
    responses: {
      200: { description: 'The proposal', content: { 'application/json': { schema: proposalBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['at']);
    if (isProblem(query)) return query;
    const seen = await readPart(exchange, query.at, (object, moment) =>
      object.proposal(exchange.principal, pathPart(exchange, 'proposal'), moment),
    );
    if (isProblem(seen)) return seen;
    if (seen !== 'null') return jsonText(exchange, 200, seen);
    const detail =
      'There is no such proposal, or was none then. One that was decided long ago is in the history (GET …/events).';
    return { problem: 'not-found', detail };
  },
};

/** POST /v1/contexts/{id}/proposals/{proposal}/comments */
export const commentProposal: AuthenticatedRoute = {
  method: 'POST',
  path: `${ONE}/comments`,
  access: 'context.propose',
  operation: {
    operationId: 'commentProposal',
    tags: ['collaboration'],
    summary: 'Say something about a proposal',
    description: 'Owners and editors; at most 100 comments.',
    requestParams: conditions,
    requestBody: jsonBody(textBody),
    responses: {
      201: proposalResponse('The proposal with its comments'),
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, textBody);
    if (isProblem(body)) return body;
    return makePart(exchange, { type: 'comment', proposal: pathPart(exchange, 'proposal'), text: body.text });
  },
};

/** POST /v1/contexts/{id}/proposals/{proposal}/approve */
export const approveProposal: AuthenticatedRoute = {
  method: 'POST',
  path: `${ONE}/approve`,
  access: 'context.approve',
  operation: {
    operationId: 'approveProposal',
    tags: ['collaboration'],
    summary: 'Approve a proposal',
    description:
      'Owners and editors but its author, each once. The last approval that is needed applies it. A stale one, whose ' +
      'subject somebody has changed since it was made, is refused until its author rebases it.',
    requestParams: conditions,
    responses: {
      200: proposalResponse('The proposal; `status` tells whether it is applied'),
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle: (exchange) => decide(exchange, 'approve'),
};

/** POST /v1/contexts/{id}/proposals/{proposal}/reject */
export const rejectProposal: AuthenticatedRoute = {
  method: 'POST',
  path: `${ONE}/reject`,
  access: 'context.approve',
  operation: {
    operationId: 'rejectProposal',
    tags: ['collaboration'],
    summary: 'Reject a proposal, for good',
    description: 'Owners and editors.',
    requestParams: conditions,
    requestBody: { ...jsonBody(rejectBody), required: false },
    responses: {
      200: proposalResponse('The proposal'),
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readOptionalBody(exchange, rejectBody);
    if (isProblem(body)) return body;
    return changePart(exchange, { type: 'reject', proposal: pathPart(exchange, 'proposal'), ...body });
  },
};

/** POST /v1/contexts/{id}/proposals/{proposal}/withdraw */
export const withdrawProposal: AuthenticatedRoute = {
  method: 'POST',
  path: `${ONE}/withdraw`,
  access: 'context.propose',
  operation: {
    operationId: 'withdrawProposal',
    tags: ['collaboration'],
    summary: 'Withdraw a proposal, for good',
    description: 'Its author.',
    requestParams: conditions,
    responses: { 200: proposalResponse('The proposal'), ...problems(400, 401, 403, 404, 409, 412, 422) },
  },
  handle: (exchange) => decide(exchange, 'withdrawProposal'),
};

/** POST /v1/contexts/{id}/proposals/{proposal}/rebase */
export const rebaseProposal: AuthenticatedRoute = {
  method: 'POST',
  path: `${ONE}/rebase`,
  access: 'context.propose',
  operation: {
    operationId: 'rebaseProposal',
    tags: ['collaboration'],
    summary: 'Make a proposal anew for the context as it is now',
    description: 'Its author. All have to approve again.',
    requestParams: conditions,
    responses: { 200: proposalResponse('The proposal'), ...problems(400, 401, 403, 404, 409, 412, 422) },
  },
  handle: (exchange) => decide(exchange, 'rebase'),
};

type Decision = Extract<ProposalCommand['type'], 'approve' | 'withdrawProposal' | 'rebase'>;

function decide(exchange: AuthenticatedExchange, type: Decision): Promise<Answer> {
  return changePart(exchange, { type, proposal: pathPart(exchange, 'proposal') });
}

const RULES_PATH = '/v1/contexts/:id/rules';

/** GET /v1/contexts/{id}/rules */
export const readRules: AuthenticatedRoute = {
  method: 'GET',
  path: RULES_PATH,
  access: 'context.read',
  operation: {
    operationId: 'readRules',
    tags: ['collaboration'],
    summary: 'How a context is changed, or was',
    description: 'One approval for a proposal, and direct changes as well, unless owners have said otherwise.',
    requestParams: { query: atParameter },
    responses: {
      200: { description: 'The rules', content: { 'application/json': { schema: rulesBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  handle(exchange) {
    return showPart(exchange, (object, moment) => object.rules(exchange.principal, moment));
  },
};

/** PATCH /v1/contexts/{id}/rules */
export const patchRules: AuthenticatedRoute = {
  method: 'PATCH',
  path: RULES_PATH,
  access: 'context.rules',
  operation: {
    operationId: 'patchRules',
    tags: ['collaboration'],
    summary: 'Say how a context is changed',
    description: 'Owners only. It holds for the proposals that are open as well, from the next approval on.',
    requestParams: conditions,
    requestBody: jsonBody(patchRulesBody, ...PATCH_TYPES),
    responses: {
      200: { description: 'The rules', headers: changeHeaders, content: { 'application/json': { schema: rulesBody } } },
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const rules = await readBody(exchange, patchRulesBody, PATCH_TYPES);
    return isProblem(rules) ? rules : changePart(exchange, { type: 'setRules', rules });
  },
};
