import { z } from 'zod';
import { Directory } from '../../../actors/directory.ts';
import { recordAct } from '../../audit/acts.ts';
import { streamObject } from '../../delivery/stream-object.ts';
import { problems } from '../operations.ts';
import { isProblem } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { NO_STREAM, streamIn } from './streams.ts';

/** Segments that one request moves at most: some ten seconds of work. */
const SEGMENTS_PER_REQUEST = 100;

/** Damaged streams that are listed for each directory shard at most. */
const LISTED = 20;

const amount = {
  segments: z.int(),
  events: z.int(),
  bytes: z.int().meta({ description: 'Of the files, which are compressed' }),
};

const coldBody = z
  .strictObject({
    streams: z.int().meta({ description: 'Streams of which a part is cold' }),
    ...amount,
    damagedStreams: z.int(),
    damaged: z
      .array(z.strictObject({ stream: z.string(), first: z.int(), last: z.int(), reason: z.string() }))
      .meta({ description: 'The first damage of each stream that is known to have some, as far as they are listed' }),
  })
  .meta({ id: 'ColdHistory' });

/** GET /v1/admin/cold-history */
export const readColdHistory: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/admin/cold-history',
  access: 'admin.read',
  operation: {
    operationId: 'readColdHistory',
    tags: ['administration'],
    summary: 'How much history is in the bucket, and what of it was found missing or altered',
    description: 'Damage is found when somebody reads there. It is gone from here when a read finds it repaired.',
    responses: {
      200: { description: 'The cold history', content: { 'application/json': { schema: coldBody } } },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const shards = new Directory(exchange.env.DIRECTORY).shards();
    const [totals, damaged] = await Promise.all([
      Promise.all(shards.map((shard) => shard.coldTotals())),
      Promise.all(shards.map((shard) => shard.damaged(LISTED))),
    ]);
    const sum = (of: 'streams' | 'segments' | 'events' | 'bytes' | 'damaged') =>
      totals.reduce((total, each) => total + each[of], 0);
    const body: z.infer<typeof coldBody> = {
      streams: sum('streams'),
      segments: sum('segments'),
      events: sum('events'),
      bytes: sum('bytes'),
      damagedStreams: sum('damaged'),
      damaged: damaged.flat().map(({ stream, first, last, reason }) => ({ stream, first, last, reason })),
    };
    return jsonText(exchange, 200, JSON.stringify(body));
  },
};

/** POST /v1/admin/streams/{type}/{id}/archive */
export const archiveStream: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/admin/streams/:type/:id/archive',
  access: 'admin.write',
  operation: {
    operationId: 'archiveStream',
    tags: ['administration'],
    summary: 'Move all that can be moved of a stream’s history into the bucket now, however new it is',
    description:
      'The stream is named `context/ctx_…`. Readers notice nothing. The newest events stay where they are, and so does ' +
      'what some destination has not had yet. Call again while `isComplete` is false.',
    responses: {
      200: {
        description: 'What was moved',
        content: {
          'application/json': {
            schema: z.strictObject({
              ...amount,
              isComplete: z.boolean().meta({ description: 'Whether nothing is left that could be moved' }),
            }),
          },
        },
      },
      ...problems(400, 401, 403, 404, 503),
    },
  },
  async handle(exchange) {
    const { env } = exchange;
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const stream = streamIn(exchange);
    if (isProblem(stream)) return stream;
    const object = streamObject(env, stream);
    // Before its object is asked, which would make it.
    if (object === null || !(await new Directory(env.DIRECTORY).has(stream))) return NO_STREAM;
    if (!env.COLD_HISTORY) {
      return { problem: 'not-configured', detail: 'There is no bucket COLD_HISTORY that segments could be moved to.' };
    }
    await recordAct(exchange, archiveStream, stream);
    const { moved, isComplete, failure } = await object.archive(SEGMENTS_PER_REQUEST);
    if (failure !== null) {
      const detail = `${moved.segments} segments were moved; the next one could not be. Its events are where they were. Try again.`;
      return { problem: 'history-unavailable', detail };
    }
    return jsonText(exchange, 200, JSON.stringify({ ...moved, isComplete }));
  },
};
