import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { Action } from '../../actors/access.ts';
import { isRefusal } from '../../actors/decider.ts';
import type { LoggedHead } from '../../actors/transparency-shard-object.ts';
import { formatHeader } from '../../events/bundle.ts';
import { offsetsOf } from '../../events/offset.ts';
import type { Env } from '../env.ts';
import { hasLog, NO_LOG, transparencyLog, transparencyShard } from '../log/log.ts';
import { contextSource } from './contexts.ts';
import type { FindSource } from './history-source.ts';
import { logKeys } from './log.ts';
import { problems } from './operations.ts';
import { isProblem, type Problem, problemOf } from './problem.ts';
import { readOptionalInteger, readQuery } from './query.ts';
import type { AuthenticatedRoute } from './route.ts';

/** Heads of the stream in a bundle: the more there are, the more exactly it is known where events were changed. */
const HEADS = 64;
/** Seconds that are waited for the newest events to be logged, unless the caller says otherwise, and at most. */
const WAIT_DEFAULT_S = 10;
const WAIT_MAX_S = 60;
/** Seconds after which a caller may try again when nothing is logged yet. */
const RETRY_AFTER_S = 5;

/**
 * GET …/bundle of a stream.
 *
 * @param operation what the API document says of it beside what all of them have
 */
export function bundleRoute(
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
        'NDJSON: one line with the checkpoint of the transparency log, keys and proofs, then every event that the log ' +
        'vouches for. docs/protocol.md, section 7, says how to verify it.',
      requestParams: {
        query: z.object({
          wait: z.int().min(0).max(WAIT_MAX_S).default(WAIT_DEFAULT_S).meta({
            description: 'Seconds to wait at most for the newest events to be logged; then the bundle ends before them',
          }),
        }),
      },
      responses: {
        200: {
          description: 'The bundle',
          headers: z.object({
            'Stream-Next-Offset': z
              .string()
              .meta({ description: 'Where the bundle ends', examples: ['0000000000000042_5f0c1a9e'] }),
            'Stream-Up-To-Date': z
              .literal('true')
              .optional()
              .meta({ description: 'It holds all the events there are' }),
          }),
          content: { 'application/x-ndjson': { schema: z.string() } },
        },
        ...problems(400, 401, 403, 404, 503),
      },
    },
    async handle(exchange) {
      const query = readQuery(exchange.request, ['wait']);
      if (isProblem(query)) return query;
      const wait = readOptionalInteger('wait', query.wait, WAIT_DEFAULT_S, 0, WAIT_MAX_S);
      if (isProblem(wait)) return wait;
      const source = await findSource(exchange);
      if (isProblem(source)) return source;
      const { object, stream } = source;
      const head = await object.treeHead(exchange.principal);
      if (isRefusal(head)) return problemOf(head);
      if (!hasLog(exchange.env)) return NO_LOG;
      if (wait > 0) await object.whenDelivered('log', head.size, wait * 1000);
      const proved = await prove(exchange.env, stream);
      if (isProblem(proved)) return proved;
      const history = await object.historyStream(exchange.principal, 0, { version: proved.size });
      if ('refused' in history) return problemOf(history);
      return new Response(withHeader(proved.header, history.lines), {
        headers: {
          'Content-Type': 'application/x-ndjson',
          'Cache-Control': 'no-store',
          'Stream-Next-Offset': offsetsOf(stream)(history.lastVersion),
          ...(history.lastVersion >= head.size && { 'Stream-Up-To-Date': 'true' }),
          ...exchange.headers,
        },
      });
    },
  };
}

/** GET /v1/contexts/{id}/bundle */
export const readBundle = bundleRoute(
  '/v1/contexts/:id/bundle',
  'context.history',
  {
    operationId: 'readBundle',
    tags: ['history', 'log'],
    summary: 'Everything to verify a context’s history offline',
  },
  contextSource,
);

/** The first line of a stream's bundle, and how many events the log vouches for. */
async function prove(env: Env, stream: string): Promise<{ readonly header: string; readonly size: number } | Problem> {
  const logged: LoggedHead[] = await transparencyShard(env, stream).heads(stream, HEADS);
  const newest = logged.at(-1);
  const proofs = newest && (await transparencyLog(env).prove(logged.map(({ index }) => index)));
  if (!proofs) {
    return {
      problem: 'not-logged',
      detail: 'Nothing of this is in the log yet. Try again in a moment, or with ?wait=30.',
      headers: { 'Retry-After': String(RETRY_AFTER_S) },
    };
  }
  const { keys, witnesses } = await logKeys(env);
  const header = formatHeader({
    stream,
    checkpoint: proofs.checkpoint,
    keys: [...keys.filter(({ status }) => status === 'signing').map(({ key }) => key), ...witnesses],
    heads: logged.map(({ size, root, index }, place) => ({
      size,
      root: hexToBytes(root),
      index,
      proof: (proofs.proofs[place] ?? []).map(hexToBytes),
    })),
  });
  return { header, size: newest.size };
}

function withHeader(header: string, lines: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const write = async () => {
    const writer = writable.getWriter();
    await writer.write(utf8ToBytes(`${header}\n`));
    writer.releaseLock();
    await lines.pipeTo(writable);
  };
  // It rejects when the caller hangs up, which is theirs to know.
  void write().catch(() => undefined);
  return readable;
}
