import { z } from 'zod';
import { Directory } from '../../../actors/directory.ts';
import { backlogs } from '../../delivery/behind.ts';
import { deliverNow, resend } from '../../delivery/wake.ts';
import { readOptionalBody } from '../body.ts';
import { jsonBody, problems } from '../operations.ts';
import { invalid, isProblem } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { streamIn } from './streams.ts';

/** Streams that are listed at most. */
const LISTED = 20;

const destinationSummary = z.strictObject({
  destination: z.string(),
  streamsBehind: z.int(),
  oldestSince: z.iso
    .datetime()
    .nullable()
    .meta({ description: 'Since when the one that waits longest is behind with it; null when none is' }),
  mostAttempts: z.int(),
  lastError: z.string().nullable(),
});

const streamSummary = z.strictObject({
  stream: z.string(),
  since: z.iso.datetime(),
  cursors: z.record(
    z.string(),
    z.strictObject({
      since: z.iso.datetime(),
      confirmed: z.int(),
      attempts: z.int(),
      retryAt: z.number(),
      lastError: z.string().nullable(),
    }),
  ),
});

const outboxBody = z
  .strictObject({
    streams: z.int().meta({ description: 'Streams there are' }),
    destinations: z
      .array(destinationSummary)
      .meta({ description: 'All there are, also those with which none is behind' }),
    behind: z.array(streamSummary).meta({ description: 'The streams that have been behind longest' }),
  })
  .meta({ id: 'Outbox' });

/** GET /v1/admin/outbox */
export const readOutbox: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/admin/outbox',
  access: 'admin.read',
  operation: {
    operationId: 'readOutbox',
    tags: ['administration'],
    summary: 'Which destinations are behind, since when and why',
    description:
      'A stream is listed after an attempt that failed or a second one without an answer, until it has caught up.',
    responses: {
      200: { description: 'The outbox', content: { 'application/json': { schema: outboxBody } } },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const directory = new Directory(exchange.env.DIRECTORY);
    const [found, ...answers] = await Promise.all([
      backlogs(directory),
      ...directory.shards().map(async (shard) => [await shard.count(), await shard.behind(LISTED)] as const),
    ]);
    const streams = answers.reduce((sum, [count]) => sum + count, 0);
    const destinations = found.map(({ destination, streams: streamsBehind, since: oldestSince, ...rest }) => ({
      destination,
      streamsBehind,
      oldestSince,
      ...rest,
    }));
    const behind = answers.flatMap(([, each]) => each).sort((a, b) => (a.since < b.since ? -1 : 1));
    return jsonText(exchange, 200, JSON.stringify({ streams, destinations, behind: behind.slice(0, LISTED) }));
  },
};

/** What is sent again although it was confirmed; nothing, when it is left out. */
const retryBody = z
  .strictObject({
    destination: z
      .string()
      .max(100)
      .exactOptional()
      .meta({ description: 'One of the destinations of the stream, such as `chronicle`' }),
    from: z.int().min(1).exactOptional().meta({ description: 'The version of the first event that is sent again' }),
  })
  .refine(({ destination, from }) => (destination === undefined) === (from === undefined), {
    path: ['from'],
    error: 'goes together with destination',
  })
  .meta({ id: 'OutboxRetry' });

/** POST /v1/admin/outbox/{type}/{id}/retry */
export const retryOutbox: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/admin/outbox/:type/:id/retry',
  access: 'admin.write',
  operation: {
    operationId: 'retryOutbox',
    tags: ['administration'],
    summary: 'Deliver everything of a stream now, whatever it was waiting for',
    requestBody: { ...jsonBody(retryBody), required: false },
    responses: {
      204: { description: 'It was tried; GET /v1/admin/outbox shows what came of it' },
      ...problems(400, 401, 403, 404, 413, 415),
    },
    description:
      'The stream is named as in the list: `context/ctx_…`. With `destination` and `from`, for a destination that has ' +
      'lost what it had confirmed, the events from that version on are sent to it again.',
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const stream = streamIn(exchange);
    if (isProblem(stream)) return stream;
    const body = await readOptionalBody(exchange, retryBody);
    if (isProblem(body)) return body;
    const { destination, from } = body;
    if (destination !== undefined && from !== undefined && !(await resend(exchange.env, stream, destination, from))) {
      return invalid('/destination', 'must be a destination of this stream');
    }
    await deliverNow(exchange.env, stream);
    return new Response(null, { status: 204, headers: exchange.headers });
  },
};
