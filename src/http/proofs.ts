import { z } from 'zod';
import type { Action } from '../../actors/access.ts';
import { isRefusal } from '../../actors/decider.ts';
import { hexHash } from '../../events/merkle.ts';
import { contextSource } from './contexts.ts';
import type { FindSource } from './history-source.ts';
import { problems } from './operations.ts';
import { invalid, isProblem, problemOf } from './problem.ts';
import { readInteger, readOptionalInteger, readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { AuthenticatedRoute } from './route.ts';

const position = (what: string) => z.int().min(1).optional().meta({ description: what });

const proofBody = z
  .strictObject({
    stream: z.string().meta({ examples: ['context/ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    size: z.int().meta({ description: 'The size of the tree: the number of its events' }),
    root: hexHash.meta({ description: 'Its root' }),
    proof: z.array(hexHash).meta({ description: 'The hashes that lead to the root, nearest first (RFC 9162)' }),
  })
  .meta({ id: 'Proof' });

/**
 * GET …/proof of a stream.
 *
 * @param operation what the API document says of it beside what all of them have
 */
export function proofRoute(
  path: string,
  access: Action,
  operation: { readonly operationId: string; readonly tags: string[]; readonly summary: string },
  findSource: FindSource,
): AuthenticatedRoute {
  return {
    method: 'GET',
    path,
    access,
    operation: {
      ...operation,
      description:
        'With `version`: an inclusion proof of that event in the tree of the first `size` events (RFC 9162, section ' +
        '2.1.3). With `from` and `to`: a consistency proof that the tree of the first `to` events begins with that of the ' +
        'first `from` (section 2.1.4). Leaves are the leafHash members of the events; docs/protocol.md says how to verify.',
      requestParams: {
        query: z.object({
          version: position('The event whose inclusion is proved'),
          size: position('The size of the tree that it is proved in; the present one when left out'),
          from: position('The size of the earlier tree'),
          to: position('The size of the later tree; the present one when left out'),
        }),
      },
      responses: {
        200: { description: 'The proof', content: { 'application/json': { schema: proofBody } } },
        ...problems(400, 401, 403, 404),
      },
    },
    async handle(exchange) {
      const query = readQuery(exchange.request, ['version', 'size', 'from', 'to']);
      if (isProblem(query)) return query;
      const isInclusion = query.version !== undefined;
      if (isInclusion === (query.from !== undefined)) return invalid('version', 'or from has to be given, not both');
      const [first, last] = isInclusion ? (['version', 'size'] as const) : (['from', 'to'] as const);
      const stray = isInclusion ? 'to' : 'size';
      if (query[stray] !== undefined) return invalid(stray, `does not go with ${first}`);
      const start = readInteger(first, query[first] ?? '', 1, Number.MAX_SAFE_INTEGER);
      if (isProblem(start)) return start;
      const size = readOptionalInteger(last, query[last], undefined, 1, Number.MAX_SAFE_INTEGER);
      if (isProblem(size)) return size;
      const source = await findSource(exchange);
      if (isProblem(source)) return source;
      const claim = isInclusion ? { version: start } : { from: start };
      const proved = await source.object.prove(exchange.principal, claim, size);
      if (isRefusal(proved)) return problemOf(proved);
      const { size: treeSize, root, proof } = proved;
      return jsonText(exchange, 200, JSON.stringify({ stream: source.stream, size: treeSize, root, proof }));
    },
  };
}

/** GET /v1/contexts/{id}/proof */
export const readProof = proofRoute(
  '/v1/contexts/:id/proof',
  'context.history',
  {
    operationId: 'readProof',
    tags: ['history'],
    summary: 'Prove that an event is in the history, or that the history has only grown',
  },
  contextSource,
);
