import { z } from 'zod';
import { isActorId } from '../../../events/actor.ts';
import { firstUlidOf, isUlid } from '../../../events/ulid.ts';
import { type AuditQuery, listAudit } from '../../../projections/audit.ts';
import { findContextId } from '../contexts.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem, type Problem } from '../problem.ts';
import { readOptionalInteger, readOptionalTime, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { visibleTo } from './access.ts';
import { auditEntry, entriesOf } from './entries.ts';

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 500;
/** Entries of an export that are looked up at once. */
const EXPORT_PAGE = 500;
const NDJSON = 'application/x-ndjson';

const STREAM = /^[a-z_]{1,30}\/\w{1,100}$/;
/** Types of events, and actions. */
const ACTION = /^[a-zA-Z][\w.-]{0,63}$/;
const CREDENTIAL = /^[\w-]{1,100}$/;

const PARAMETERS = [
  'actor',
  'subject',
  'context',
  'stream',
  'action',
  'outcome',
  'credential',
  'from',
  'to',
  'system',
  'limit',
  'cursor',
] as const;

const outcome = z.enum(['allowed', 'refused']).optional();
const time = z.string().meta({ description: 'A time with its zone', examples: ['2026-01-31T12:00:00Z'] });

/** GET /v1/audit */
export const readAudit: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/audit',
  access: 'audit.read',
  operation: {
    operationId: 'readAudit',
    tags: ['audit'],
    summary: 'Who did what, newest first',
    description:
      'Every change, every refusal and every sensitive read: by whom, in whose name, with which credential, from where. ' +
      'Administrators and auditors see all of it, owners and auditors of a context what is about it (`context=`), ' +
      'everybody their own part. As NDJSON (Accept) all that fits comes at once. An entry shows a moment after it ' +
      'happened, at most 10 s later where changes follow each other closely. Changes of one stream within a minute that ' +
      'are alike in all that an entry says are one entry, which says which versions they are among and how many they are; ' +
      'it is found by the times of any of them, and shown whole. Reading the trail is an entry as well.',
    requestParams: {
      query: z.object({
        actor: z.string().optional().meta({ description: 'Who did it' }),
        subject: z.string().optional().meta({ description: 'In whose name others did it, by delegation' }),
        context: z.string().optional().meta({ description: 'What is about this context (its id or ChittyID)' }),
        stream: z
          .string()
          .optional()
          .meta({ description: 'What is about this stream', examples: ['actor/act_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
        action: z
          .string()
          .optional()
          .meta({ examples: ['context_updated'] }),
        outcome,
        credential: z.string().optional().meta({ description: 'The id of a key, session or delegation' }),
        from: time.optional().meta({ description: 'What was then or later' }),
        to: time.optional().meta({ description: 'What was before' }),
        system: z
          .enum(['true', 'false'])
          .default('true')
          .meta({ description: 'Whether what the service did by itself is shown' }),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT).meta({ description: 'Not for NDJSON' }),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before; the rest as it was' }),
      }),
    },
    responses: {
      200: {
        description: 'A page of the trail, or all of it',
        content: {
          'application/json': {
            schema: z
              .strictObject({ items: z.array(auditEntry), nextCursor: z.string().nullable() })
              .meta({ id: 'AuditPage' }),
          },
          [NDJSON]: { schema: z.string() },
        },
      },
      ...problems(400, 401, 403, 404, 503),
    },
  },
  async handle(exchange) {
    const query = await readAuditQuery(exchange);
    if (isProblem(query)) return query;
    const among = await visibleTo(exchange, query.stream);
    if (isProblem(among)) return among;
    const { env, request } = exchange;
    if (wantsLines(request.headers)) return await exported(exchange, { ...query, among });
    const rows = await listAudit(env.DB, { ...query, among });
    const nextCursor = rows.length === query.limit ? (rows.at(-1)?.id ?? null) : null;
    return jsonText(exchange, 200, JSON.stringify({ items: await entriesOf(env, rows), nextCursor }));
  },
};

function wantsLines(headers: Headers): boolean {
  const accepted = (headers.get('Accept') ?? '').split(',');
  return accepted.some((range) => range.split(';')[0]?.trim().toLowerCase() === NDJSON);
}

/** Everything that fits, a page at a time, when the reader has room for it. The first page is looked up before it begins. */
async function exported({ env, headers }: AuthenticatedExchange, query: AuditQuery): Promise<Response> {
  const encoder = new TextEncoder();
  const pageBefore = (before: string | undefined) =>
    listAudit(env.DB, { ...query, limit: EXPORT_PAGE, ...(before !== undefined && { before }) });
  let rows = await pageBefore(query.before);
  const lines = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const entries = await entriesOf(env, rows);
      if (entries.length > 0) {
        controller.enqueue(encoder.encode(`${entries.map((entry) => JSON.stringify(entry)).join('\n')}\n`));
      }
      const last = rows.at(-1)?.id;
      if (last === undefined || rows.length < EXPORT_PAGE) controller.close();
      else rows = await pageBefore(last);
    },
  });
  return new Response(lines, { headers: { 'Content-Type': NDJSON, 'Cache-Control': 'no-store', ...headers } });
}

type Wanted = Omit<AuditQuery, 'among'>;

/** What a request asks for. */
async function readAuditQuery(exchange: AuthenticatedExchange): Promise<Wanted | Problem> {
  const given = readQuery(exchange.request, PARAMETERS);
  if (isProblem(given)) return given;
  const { actor, subject, action, credential, cursor, system = 'true' } = given;
  const stream = await readStream(exchange, given.context, given.stream);
  if (isProblem(stream)) return stream;
  for (const [name, value] of Object.entries({ actor, subject })) {
    if (value !== undefined && !/^act_\w{1,40}$/.test(value) && !isActorId(value)) {
      return invalid(name, 'must be the id of an actor');
    }
  }
  if (action !== undefined && !ACTION.test(action)) return invalid('action', 'must be a type of event or an action');
  if (credential !== undefined && !CREDENTIAL.test(credential))
    return invalid('credential', 'must be an id, no secret');
  const wanted = outcome.safeParse(given.outcome);
  if (!wanted.success) return invalid('outcome', 'must be allowed or refused');
  if (system !== 'true' && system !== 'false') return invalid('system', 'must be true or false');
  const limit = readOptionalInteger('limit', given.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
  if (isProblem(limit)) return limit;
  if (cursor !== undefined && !isUlid(cursor)) {
    return invalid('cursor', 'must be the nextCursor that the same query gave; start without one');
  }
  const from = readOptionalTime('from', given.from);
  if (isProblem(from)) return from;
  const to = readOptionalTime('to', given.to);
  if (isProblem(to)) return to;
  // The cursor is before `to` already.
  const before = cursor ?? (to && firstUlidOf(Date.parse(to)));
  return {
    limit,
    withSystem: system === 'true',
    ...(actor !== undefined && { actor }),
    ...(subject !== undefined && { subject }),
    ...(stream !== undefined && { stream }),
    ...(action !== undefined && { action }),
    ...(credential !== undefined && { credential }),
    ...(wanted.data && { outcome: wanted.data }),
    ...(from !== undefined && { from }),
    ...(before !== undefined && { before }),
  };
}

async function readStream(
  { env }: AuthenticatedExchange,
  context: string | undefined,
  stream: string | undefined,
): Promise<string | undefined | Problem> {
  if (context !== undefined && stream !== undefined) return invalid('stream', 'must not come together with context');
  if (stream !== undefined && !STREAM.test(stream))
    return invalid('stream', 'must be a type and an id, as actor/act_…');
  const named = stream?.startsWith('context/') ? stream.slice('context/'.length) : context;
  if (named === undefined) return stream;
  // No object is asked for an id that cannot be one.
  const id = await findContextId(env, named);
  return id === null ? { problem: 'not-found', detail: 'There is no context with this id.' } : `context/${id}`;
}
