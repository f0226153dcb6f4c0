import { z } from 'zod';
import { Directory } from '../../../actors/directory.ts';
import { type RebuildPlace, rebuildPart } from '../../delivery/rebuild.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';

/** The rebuild, and its place in the directory: the shard, and the stream after which to go on. */
const CURSOR = /^([0-9A-HJKMNP-TV-Z]{26})\.(\d{1,2})\.([\w/]*)$/;

/** POST /v1/admin/rebuild */
export const rebuildReadModels: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/admin/rebuild',
  access: 'admin.write',
  operation: {
    operationId: 'rebuildReadModels',
    tags: ['administration'],
    summary: 'Throw the read models away and fill them from the logs',
    description:
      'The first call empties them; call again with the `nextCursor` of the answer until it is null. Changes go on ' +
      'meanwhile; until its turn, a context is not found. `npm run rebuild` does all of it.',
    requestParams: { query: z.object({ cursor: z.string().optional() }) },
    responses: {
      200: {
        description: 'How far it is',
        content: {
          'application/json': {
            schema: z.strictObject({
              rebuilt: z.int().meta({ description: 'Streams in this part' }),
              total: z.int().meta({ description: 'Streams there are' }),
              nextCursor: z.string().nullable(),
            }),
          },
        },
      },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['cursor']);
    if (isProblem(query)) return query;
    const shards = new Directory(exchange.env.DIRECTORY).shards().length;
    const place = query.cursor === undefined ? null : readPlace(query.cursor, shards);
    if (place === undefined) return invalid('cursor', 'must be the nextCursor of the answer before');
    const { rebuilt, total, next } = await rebuildPart(exchange.env, place);
    const nextCursor = next && `${next.rebuild}.${next.shard}.${next.after}`;
    return jsonText(exchange, 200, JSON.stringify({ rebuilt, total, nextCursor }));
  },
};

/** @returns undefined when it is none that was given out */
function readPlace(cursor: string, shards: number): RebuildPlace | undefined {
  const [, rebuild, shard, after = ''] = CURSOR.exec(cursor) ?? [];
  if (rebuild === undefined || Number(shard) >= shards) return undefined;
  return { rebuild, shard: Number(shard), after };
}
