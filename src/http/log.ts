import { z } from 'zod';
import { isFault } from '../../events/fault.ts';
import { HASH_BYTES } from '../../events/merkle.ts';
import { formatVerifierKey } from '../../events/note-keys.ts';
import { TILE_WIDTH } from '../../events/proof.ts';
import {
  decodeEntries,
  encodeEntries,
  entriesPath,
  parseTilePath,
  type TileResource,
  tilePath,
} from '../../events/tiles.ts';
import { livingKeys } from '../auth/key-ring.ts';
import type { Env } from '../env.ts';
import { hasLog, NO_LOG, transparencyLog } from '../log/log.ts';
import { logKey } from '../log/signing.ts';
import { witnessesOf } from '../log/witnesses.ts';
import { problems } from './operations.ts';
import { isProblem, type Problem } from './problem.ts';
import { readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { PublicRoute } from './route.ts';

const TEXT = 'text/plain; charset=utf-8';
const BYTES = 'application/octet-stream';

/** What a tile holds never changes. */
const FOR_EVER = 'public, max-age=31536000, immutable';

/** GET /log/checkpoint */
export const readCheckpoint: PublicRoute = {
  method: 'GET',
  path: '/log/checkpoint',
  access: 'public',
  operation: {
    operationId: 'readCheckpoint',
    tags: ['log'],
    summary: 'What the transparency log says of itself (C2SP tlog-checkpoint)',
    description:
      'A signed note: origin, size, root, and the signatures of the log and of the witnesses that have seen it. ' +
      'Never smaller than one that was shown before, and never another of the same size.',
    responses: {
      200: { description: 'The newest checkpoint', content: { [TEXT]: { schema: z.string() } } },
      ...problems(400, 404, 503),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    if (!hasLog(exchange.env)) return NO_LOG;
    // From the object itself: a cache, or another place, might go back to an older one.
    const checkpoint = await transparencyLog(exchange.env).checkpoint();
    if (checkpoint === null) return { problem: 'not-found', detail: 'Nothing has been logged yet.' };
    return new Response(checkpoint, {
      headers: { 'Content-Type': TEXT, 'Cache-Control': 'no-store', ...exchange.headers },
    });
  },
};

/** GET /log/tile/{path} */
export const readTile: PublicRoute = {
  method: 'GET',
  path: '/log/tile/:path+',
  access: 'public',
  operation: {
    operationId: 'readTile',
    tags: ['log'],
    summary: 'A tile of the transparency log, or the entries under one (C2SP tlog-tiles)',
    description:
      'Such as `0/x001/234`, `1/000.p/5` or `entries/x001/234`. It never changes. A partial one is there when a ' +
      'checkpoint needed it at that width, and for ever once the tile is full.',
    responses: {
      200: {
        description: 'Hashes of 32 bytes each; or entries, each with its length in 16 bits before it',
        headers: z.object({ 'Cache-Control': z.string() }),
        content: { [BYTES]: { schema: z.string() } },
      },
      ...problems(400, 404, 503),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    if (!hasLog(exchange.env)) return NO_LOG;
    const tile = parseTilePath(`tile/${exchange.request.params?.path ?? ''}`);
    if (isFault(tile)) return noTile(`${tile.fault}.`);
    const bytes = await tileBytes(exchange.env, tile);
    if (bytes === null) return noTile('The log has no such tile (yet). /log/checkpoint says how long it is.');
    return new Response(bytes, {
      headers: { 'Content-Type': BYTES, 'Cache-Control': FOR_EVER, ...exchange.headers },
    });
  },
};

const logKeysBody = z
  .strictObject({
    origin: z.string().meta({ description: 'The name of the log', examples: ['connect.chitty.cc/log'] }),
    keys: z.array(
      z.strictObject({
        key: z.string().meta({ description: 'A verifier key (C2SP signed-note)' }),
        status: z.enum(['upcoming', 'signing', 'earlier']),
        since: z.iso.datetime().meta({ description: 'When it signed first, or will' }),
      }),
    ),
    witnesses: z.array(z.string()).meta({ description: 'The verifier keys of the witnesses that are asked' }),
  })
  .meta({ id: 'LogKeys' });

/** GET /log/keys */
export const readLogKeys: PublicRoute = {
  method: 'GET',
  path: '/log/keys',
  access: 'public',
  operation: {
    operationId: 'readLogKeys',
    tags: ['log'],
    summary: 'The keys that checkpoints can be verified with',
    description:
      'Those that sign, that will sign next, and all that ever signed. Compare them with what you know from elsewhere: ' +
      'a log that is not to be trusted would name keys here that are not either.',
    responses: {
      200: { description: 'The keys, oldest first', content: { 'application/json': { schema: logKeysBody } } },
      ...problems(400, 503),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    if (!hasLog(exchange.env)) return NO_LOG;
    return jsonText(exchange, 200, JSON.stringify(await logKeys(exchange.env)));
  },
};

/** The keys of the log and of its witnesses. */
export async function logKeys(env: Env): Promise<z.infer<typeof logKeysBody>> {
  const [{ origin, keys: used }, ring] = await Promise.all([transparencyLog(env).keys(), livingKeys(env, 'log')]);
  const living = ring.map((key) => ({ key: formatVerifierKey(logKey(origin, key)), notBefore: key.notBefore }));
  const now = new Date().toISOString();
  const keys: z.infer<typeof logKeysBody>['keys'] = used.map(({ key, since }) => {
    const isLiving = living.some((each) => each.key === key);
    return { key, status: isLiving ? 'signing' : 'earlier', since };
  });
  const unused = living.filter(({ key }) => !used.some((each) => each.key === key));
  for (const { key, notBefore } of unused) {
    keys.push({ key, status: notBefore > now ? 'upcoming' : 'signing', since: notBefore });
  }
  return { origin, keys, witnesses: witnessesOf(env.WITNESSES).map(({ key }) => formatVerifierKey(key)) };
}

function noTile(detail: string): Problem {
  return { problem: 'not-found', detail };
}

/** What was published; a partial tile that was removed when it became full is the beginning of the full one. */
async function tileBytes(env: Env, tile: TileResource): Promise<ArrayBuffer | Uint8Array | null> {
  const published = await env.LOG_TILES.get(pathOf(tile));
  if (published) return published.arrayBuffer();
  if (tile.width === TILE_WIDTH) return null;
  const full = await env.LOG_TILES.get(pathOf({ ...tile, width: TILE_WIDTH }));
  if (!full) return null;
  const bytes = new Uint8Array(await full.arrayBuffer());
  if (tile.kind === 'tile') return bytes.subarray(0, tile.width * HASH_BYTES);
  const entries = decodeEntries(bytes, TILE_WIDTH);
  return isFault(entries) ? null : encodeEntries(entries.slice(0, tile.width));
}

function pathOf(tile: TileResource): string {
  return tile.kind === 'entries' ? entriesPath(tile) : tilePath(tile);
}
