import { z } from 'zod';
import type { DeadLetterCommand } from '../../../actors/dead-letter.ts';
import { isRefusal } from '../../../actors/decider.ts';
import { DEAD_LETTER_PREFIX } from '../../../events/dead-letter.ts';
import { isId } from '../../../events/id.ts';
import { listDeadLetters } from '../../../projections/dead-letters.ts';
import { messageSchema } from '../../delivery/cloud-event.ts';
import type { DeadLetterObject } from '../../objects.ts';
import { etag } from '../conditions.ts';
import { type AuthenticatedExchange, causeOf, type Exchange } from '../exchange.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem, type Problem, problemOf } from '../problem.ts';
import { readOptionalInteger, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { Answer, AuthenticatedRoute } from '../route.ts';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
const PATH = '/v1/admin/dead-letters/:id';

const status = z.enum(['waiting', 'replayed', 'dropped']);

const letterBody = z
  .strictObject({
    id: z.string(),
    status,
    queue: z.string(),
    messageId: z.string(),
    attempts: z.int(),
    subject: z.string().nullable().meta({ description: 'The context that it is about' }),
    body: z.unknown().meta({
      description:
        'The message; one that was not JSON as `{"contentType": "bytes", "base64": …}` or, of type `v8`, as `text`',
    }),
    replays: z.int(),
    version: z.int(),
    receivedAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'DeadLetter' });

const letterResponse = (description: string) => ({
  description,
  content: { 'application/json': { schema: letterBody } },
});

/** GET /v1/admin/dead-letters */
export const listLetters: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/admin/dead-letters',
  access: 'admin.read',
  operation: {
    operationId: 'listDeadLetters',
    tags: ['administration'],
    summary: 'Messages that could not be delivered, newest first',
    description: 'They are kept until somebody replays or drops them.',
    requestParams: {
      query: z.object({
        status: status.optional(),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before' }),
      }),
    },
    responses: {
      200: {
        description: 'Dead letters',
        content: {
          'application/json': {
            schema: z.strictObject({ items: z.array(letterBody), nextCursor: z.string().nullable() }),
          },
        },
      },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['status', 'limit', 'cursor']);
    if (isProblem(query)) return query;
    const wanted = status.optional().safeParse(query.status);
    if (!wanted.success) return invalid('status', 'must be waiting, replayed or dropped');
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    if (query.cursor !== undefined && !isId(DEAD_LETTER_PREFIX, query.cursor)) {
      return invalid('cursor', 'must be the nextCursor of the page before; start without one');
    }
    const items = await listDeadLetters(exchange.env.DB, wanted.data ?? null, limit, query.cursor ?? null);
    const nextCursor = items.length === limit ? (items.at(-1)?.id ?? null) : null;
    return jsonText(exchange, 200, JSON.stringify({ items, nextCursor }));
  },
};

/** GET /v1/admin/dead-letters/{id} */
export const readLetter: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'admin.read',
  operation: {
    operationId: 'readDeadLetter',
    tags: ['administration'],
    summary: 'Look at a dead letter',
    description: 'With the whole message in `body`.',
    responses: { 200: letterResponse('The dead letter'), ...problems(400, 401, 403, 404) },
  },
  async handle(exchange) {
    const object = deadLetter(exchange);
    if (isProblem(object)) return object;
    const view = await object.stub.view(exchange.principal);
    if (isRefusal(view)) return problemOf(view);
    return jsonText(exchange, 200, view.body, { ETag: etag(view.version) });
  },
};

/** POST /v1/admin/dead-letters/{id}/replay */
export const replayLetter: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/replay`,
  access: 'admin.write',
  operation: {
    operationId: 'replayDeadLetter',
    tags: ['administration'],
    summary: 'Send a dead letter again',
    description: 'It goes back to its queue. Services know events they have had, so nothing arrives twice.',
    responses: { 200: letterResponse('The dead letter'), ...problems(400, 401, 403, 404, 409) },
  },
  async handle(exchange) {
    const object = deadLetter(exchange);
    if (isProblem(object)) return object;
    const view = await object.stub.view(exchange.principal);
    if (isRefusal(view)) return problemOf(view);
    const letter: z.infer<typeof letterBody> = JSON.parse(view.body);
    // Sent before it is recorded: a crash in between sends it once too often, which does no harm.
    if (letter.status !== 'dropped') await exchange.env.CONTEXT_OPS_QUEUE.send(letter.body, { contentType: 'json' });
    return act(exchange, object, { type: 'replay' });
  },
};

/** POST /v1/admin/dead-letters/{id}/drop */
export const dropLetter: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/drop`,
  access: 'admin.write',
  operation: {
    operationId: 'dropDeadLetter',
    tags: ['administration'],
    summary: 'Decide that a dead letter will not be delivered',
    description:
      'The letter stays on record. Its events are offered once more, and each that is refused again is put down as ' +
      'skipped in its place, without its content. Then its stream goes on with the events after them.',
    responses: { 200: letterResponse('The dead letter'), ...problems(400, 401, 403, 404, 409) },
  },
  async handle(exchange) {
    const object = deadLetter(exchange);
    if (isProblem(object)) return object;
    const view = await object.stub.view(exchange.principal);
    if (isRefusal(view)) return problemOf(view);
    const answer = await act(exchange, object, { type: 'drop' });
    const letter: z.infer<typeof letterBody> = JSON.parse(view.body);
    const events = messageSchema.safeParse(letter.body);
    if (events.success && !isProblem(answer)) {
      // What is refused once more is put down as skipped, and the stream goes on after it.
      const [first, ...rest] = events.data;
      const dropped = [{ ...first, droppedby: exchange.principal.actor }, ...rest];
      await exchange.env.CONTEXT_OPS_QUEUE.send(dropped, { contentType: 'json' });
    }
    return answer;
  },
};

interface Addressed {
  readonly id: string;
  readonly stub: DurableObjectStub<DeadLetterObject>;
}

/** The dead letter in the path; no object is asked for an id that cannot be one. */
function deadLetter({ request, env }: Exchange): Addressed | Problem {
  const query = readQuery(request, []);
  if (isProblem(query)) return query;
  const id = request.params?.id ?? '';
  if (!isId(DEAD_LETTER_PREFIX, id)) return { problem: 'not-found', detail: 'There is no dead letter with this id.' };
  return { id, stub: env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(id)) };
}

async function act(
  exchange: AuthenticatedExchange,
  { id, stub }: Addressed,
  command: DeadLetterCommand,
): Promise<Answer> {
  const reply = await stub.execute({
    id,
    command,
    principal: exchange.principal,
    cause: causeOf(exchange),
  });
  return isRefusal(reply) ? problemOf(reply) : jsonText(exchange, 200, reply.body, { ETag: etag(reply.version) });
}
